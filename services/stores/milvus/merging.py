"""Writes that wait for Milvus are made as one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, Internal
from rpc.tasks import end
from services.stores.milvus.connection import LATE

SEND_TIMEOUT_S = 20.0


class MergedWrites:
    """One kind of write for many callers.

    Milvus Lite works off one call after the other, and a deletion or an upsert takes it 1 ms for every 1,000 rows of the
    collection, however few it changes. So what waits for a permit of the connection becomes one call: searches wait for
    fewer of them, and more is written a second.
    """

    def __init__(
        self,
        call: Callable[..., Awaitable[Any]],
        write: Callable[..., Awaitable[Any]],
        *,
        again: Callable[..., Awaitable[Any]] | None = None,
        most_items: int,
    ) -> None:
        """`call(name, deadline, method)` awaits `method(stored_name, **options)` once a permit is free.

        Where `write` may not be repeated, `again` is the write for a second attempt.
        """
        self._call = call
        self._write = write
        self._again = again or write
        self._most_items = most_items
        self._open: dict[str, _Batch] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def add(self, name: str, items: Sequence[Any], deadline: Deadline) -> None:
        """Write items into a collection, together with those of others; an error of the call is raised to all of them."""
        batch = self._open.get(name)
        if batch is None or len(batch.items) + len(items) > self._most_items:
            batch = self._open[name] = _Batch()
            batch.sent = self._start(name, batch)
        batch.items += items
        batch.callers += 1
        try:
            async with asyncio.timeout(deadline.left_s()):
                # A caller that leaves does not end the write of the others.
                await asyncio.shield(batch.sent)
        except TimeoutError as error:
            raise DeadlineExceeded(LATE) from error
        except Internal:
            if batch.callers == 1:
                raise
            # Milvus refuses something in it: whose it is shows when each sends its own.
            await self._call(name, deadline, self._again, list(items))

    async def close(self) -> None:
        """End what is being sent."""
        for task in list(self._sending):
            await end(task)

    def _start(self, name: str, batch: "_Batch") -> "asyncio.Task[None]":
        sent = asyncio.create_task(self._send_batch(name, batch), name=f"write into {name}")
        self._sending.add(sent)
        sent.add_done_callback(self._ended)
        return sent

    def _ended(self, sent: "asyncio.Task[None]") -> None:
        self._sending.discard(sent)
        if not sent.cancelled():
            sent.exception()  # asyncio logs an error that is never read; it is raised to those who wait

    async def _send_batch(self, name: str, batch: "_Batch") -> None:
        async def write(stored_name: str, **options: Any) -> None:
            self._close_to_others(name, batch)  # a permit is free: this is what goes into the call
            method, batch.is_sent = self._again if batch.is_sent else self._write, True
            await method(stored_name, batch.items, **options)

        try:
            await self._call(name, Deadline.after(SEND_TIMEOUT_S), write)
        finally:
            self._close_to_others(name, batch)

    def _close_to_others(self, name: str, batch: "_Batch") -> None:
        if self._open.get(name) is batch:
            del self._open[name]


@dataclass(slots=True)
class _Batch:
    """What goes into one call, and for how many callers."""

    items: list[Any] = field(default_factory=list)
    callers: int = 0
    is_sent: bool = False
    sent: "asyncio.Task[None]" = field(init=False)
