"""Keeps the processes of a system running: starts them together, starts again what dies, stops them in order."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from cli.child import Child, Program
from cli.data_folder import DataFolder
from cli.failure import CommandFailed

_START_TIMEOUT_S = 90.0
_POLL_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_STEADY_S = 30.0


class Supervisor:
    """Runs programs on a data folder while its block is entered.

    Entering waits until all are ready and raises CommandFailed when one cannot start; leaving ends them all. `say` gets
    a line for each thing that happens later, and `changed` is called when a child got another process id.
    """

    def __init__(
        self, programs: Sequence[Program], data: DataFolder, *, say: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._children = [Child(program, data) for program in programs]
        self._say = say
        self._changed = changed
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each program by its name, and our own."""
        return {"supervisor": os.getpid(), **{child.program.name: child.pid for child in self._children}}

    async def __aenter__(self) -> Self:
        try:
            for child in self._children:
                await child.start()
            await self._all_ready()
        except BaseException:
            await self._stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(child), name=child.program.name) for child in self._children]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def forever(self) -> None:
        """Wait until this task is cancelled; a keeper that fails is a bug and raises here."""
        await asyncio.gather(*self._keepers)

    def kill(self) -> None:
        """End every child at once: for a person who will not wait."""
        for child in self._children:
            child.kill()

    async def _all_ready(self) -> None:
        waiting = [asyncio.create_task(self._until_ready(child)) for child in self._children]
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.gather(*waiting)
        except TimeoutError as error:
            late = [child for child, task in zip(self._children, waiting, strict=True) if task.cancelled()]
            names = ", ".join(child.program.name for child in late)
            raise CommandFailed(
                f"not ready after {_START_TIMEOUT_S:.0f} s: {names}; the first one's last words: {late[0].last_words()} "
                f"(logs: {late[0].log.parent})"
            ) from error
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _until_ready(self, child: Child) -> None:
        """Wait until a child answers; CommandFailed when it ends instead."""
        while not await child.program.answers():
            if child.has_ended:
                raise CommandFailed(f"{child.program.name} cannot start: {child.last_words()} (log: {child.log})")
            await asyncio.sleep(_POLL_S)

    async def _keep(self, child: Child) -> None:
        name = child.program.name
        pauses = _pauses()
        while True:
            started_s = time.monotonic()
            how = await child.ended()
            if time.monotonic() - started_s > _STEADY_S:
                pauses = _pauses()
            self._say(f"{name} ended ({how}): starting it again")
            await asyncio.sleep(next(pauses))
            await child.start()
            self._changed()
            try:
                await self._until_ready(child)
            except CommandFailed as error:
                self._say(str(error))
            else:
                self._say(f"{name} is back")

    async def _stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        by_rank = sorted(self._children, key=lambda child: -child.program.rank)
        for _, children in itertools.groupby(by_rank, key=lambda child: child.program.rank):
            await asyncio.gather(*(child.stop() for child in children))


def _pauses() -> Iterator[float]:
    """How long to wait before each new start, in seconds: longer and longer."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
