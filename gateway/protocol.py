"""The HTTP/1.1 protocol with time limits that uvicorn lacks: for a request's head, and for a client that does not read."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.problems import MEDIA_TYPE, problem

# A client that reads less than this in a second is not waited for.
_SLOWEST_BYTES_PER_S = 4 << 10


class TimedProtocol(H11Protocol):
    """Closes connections that nothing comes from and nothing goes to.

    `timeout_keep_alive` covers a connection without a single byte of its next request, the gateway's body limit covers
    bodies. What is left: a head that stops half-way, the rest of a body that was refused, an answer that is not read.
    """

    def __init__(self, *args: Any, head_timeout_s: float, write_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s
        self._write_timeout_s = write_timeout_s
        self._head_timer = _Timer(self.loop)
        self._write_timer = _Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first request."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Takes bytes from the client."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._head_timer.stop()
        self._write_timer.stop()

    def pause_writing(self) -> None:
        """The client does not keep up with its answer."""
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._write_timer.stop()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP with a problem too; where an answer has begun, closing is all that is left."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
            body = json.dumps(problem(HTTPStatus.BAD_REQUEST, msg)).encode()
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_head(self) -> None:
        is_worked_on = self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE
        if is_worked_on:
            self._head_timer.stop()
        elif not self._head_timer.is_running:
            self._head_timer.start(self._head_timeout_s, self.transport.close)

    def _watch_writing(self, unread_bytes: int) -> None:
        self._write_timer.start(self._write_timeout_s, partial(self._require_reading, unread_bytes))

    def _require_reading(self, unread_bytes: int) -> None:
        """Gives up on a client that read too little since the last look; nothing else would end its request."""
        still_unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes - still_unread_bytes < _SLOWEST_BYTES_PER_S * self._write_timeout_s:
            self.transport.abort()
        else:
            self._watch_writing(still_unread_bytes)


class _Timer:
    """Calls back once, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self._handle is not None

    def start(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.stop()
        self._handle = self._loop.call_later(delay_s, callback)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
