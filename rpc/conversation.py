"""One call on an event loop: its messages in and out, none of which is waited for without end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from rpc.codec import Codec, received
from rpc.errors import DeadlineExceeded, ServiceError, abort_status
from rpc.settings import ServerSettings

_DRAIN_S = 2.0
_DRAIN_QUIET_S = 0.1
_LEAVE_S = 0.2


class Conversation:
    """Reads and writes the messages of one call; close it when the call is over."""

    def __init__(self, context: Any, codec: Codec, settings: ServerSettings) -> None:
        self._context = context
        self._codec = codec
        self._settings = settings
        self._reading: asyncio.Task[Any] | None = None
        self._has_ended = False
        self._is_writing = False
        self._active_s = 0.0

    @property
    def method(self) -> str:
        """The full name of the method."""
        return self._codec.method

    async def first(self) -> Any:
        """The first message; None where the caller sends none, DeadlineExceeded where nothing arrives."""
        wait_s = self._settings.first_message_s
        return await self._next(wait_s, f"the first message did not come within {wait_s:g} s; send it at once")

    async def requests(self, first: Any) -> AsyncIterator[Any]:
        """All messages, `first` again among them; DeadlineExceeded where the caller neither sends nor gets any."""
        idle_s = self._settings.stream_idle_s
        message = first
        del first  # it may hold a whole image, which is not needed once the next message is read
        while message is not None:
            yield message
            message = await self._next(idle_s, f"nothing was sent for {idle_s:g} s; close a stream that is done")

    async def write(self, response: Any) -> None:
        """Sends one answer; DeadlineExceeded where the caller does not read."""
        data = self._codec.encode(response)
        # Still set after an exception: what is written then waits behind what the caller does not read.
        self._is_writing = True
        try:
            async with asyncio.timeout(self._settings.stream_write_s):
                await self._context.write(data)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the answers were not read for {self._settings.stream_write_s:g} s") from error
        self._is_writing = False
        self._active_s = _now_s()

    async def refuse(self, error: ServiceError, request_id: str) -> None:
        """Ends the call with the error's status, without waiting for a caller that does not read it."""
        if not self._is_writing:
            await self._drain()
        try:
            async with asyncio.timeout(_LEAVE_S if self._is_writing else None):
                await self._context.abort_with_status(abort_status(error, request_id))
        except TimeoutError as late:
            # gRPC holds the status behind the answers that were not read; a handler that is cancelled ends without one.
            raise asyncio.CancelledError from late

    def close(self) -> None:
        """Ends what is still being read."""
        if self._reading is not None:
            self._reading.cancel()

    async def _next(self, wait_s: float, complaint: str) -> Any:
        # The clock starts when the server is ready to read: a caller that was not granted room is not idle.
        self._active_s = _now_s()
        while (left_s := self._active_s + wait_s - _now_s()) > 0:
            if await self._arrives(left_s):
                return received(self._taken())
        raise DeadlineExceeded(complaint)

    async def _drain(self) -> None:
        """Reads on for a while: the status of a call that ends under a caller's write never reaches the caller."""
        ends_s = _now_s() + _DRAIN_S
        while (left_s := ends_s - _now_s()) > 0 and await self._arrives(min(left_s, _DRAIN_QUIET_S)):
            if self._taken() is None:
                return

    async def _arrives(self, timeout_s: float) -> bool:
        """Whether a message or the end comes in time; a read that was begun is never given up, gRPC allows one only."""
        if self._has_ended:
            return True
        if self._reading is None:
            self._reading = asyncio.create_task(self._context.read())
        done, _ = await asyncio.wait({self._reading}, timeout=timeout_s)
        return bool(done)

    def _taken(self) -> Any:
        """What has arrived; None at the end."""
        if self._has_ended or self._reading is None:
            return None
        reading, self._reading = self._reading, None
        message = reading.result()
        self._has_ended = message is grpc.aio.EOF  # type: ignore[attr-defined]
        return None if self._has_ended else message


def _now_s() -> float:
    return asyncio.get_running_loop().time()
