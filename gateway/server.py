"""The HTTP/1.1 server: uvicorn with a clean shutdown, and with time limits for slow clients that it lacks."""

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.problems import MEDIA_TYPE, problem
from rpc.memory import settle_started

# A client that reads less than this is disconnected.
_MIN_BYTES_PER_S = 4 << 10

_log = logging.getLogger(__name__)


class GatewayServer(uvicorn.Server):
    """Ends the jobs before it drains, so that those who follow one see its end and do not delay the exit."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the port, and logs the number that it got."""
        await super().startup(sockets)
        for server in self.servers:
            for each in server.sockets:
                _log.info("listening", extra={"address": self.config.host, "port": each.getsockname()[1]})
        settle_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Starts the shutdown on a signal. uvicorn would raise the signal again after it, and exit with its number."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends those who follow jobs, then the connections."""
        self._app.state.is_closing.set()
        await super().shutdown(sockets)


class TimedProtocol(H11Protocol):
    """Closes connections on which nothing moves.

    uvicorn's `timeout_keep_alive` covers a connection without a byte of its next request, and the gateway's body limit
    covers bodies. This covers the rest: a head that stops half-way, what is left of a body that was refused, and a
    response that is not read.
    """

    def __init__(self, *args: Any, head_timeout_s: float, write_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s
        self._write_timeout_s = write_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer of the first head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Stops the timer of a head that is complete, and starts that of the next one."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all timers."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Starts to watch a client that does not keep up with its response."""
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stops to watch the client."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP with a problem document too; once a response has begun it can only be cut off."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
            body = json.dumps(problem(HTTPStatus.BAD_REQUEST, msg)).encode()
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_head(self) -> None:
        """Runs the timer from the first moment without a complete head; more bytes of the head do not restart it."""
        is_in_flight = self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE
        if self._head_timer is None:
            if not is_in_flight:
                self._head_timer = self.loop.call_later(self._head_timeout_s, self.transport.close)
        elif is_in_flight:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch_writing(self, unread_bytes: int) -> None:
        check = partial(self._require_reading, unread_bytes)
        self._write_timer = self.loop.call_later(self._write_timeout_s, check)

    def _require_reading(self, unread_bytes: int) -> None:
        """Aborts where the client read too little since the last check; nothing else would end its request."""
        still_unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes - still_unread_bytes < _MIN_BYTES_PER_S * self._write_timeout_s:
            self.transport.abort()
        else:
            self._watch_writing(still_unread_bytes)
