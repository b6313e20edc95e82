"""Limits of every request: the size of its body, the time that it takes to arrive, and how many are in flight."""

import asyncio
from collections.abc import Collection
from contextlib import ExitStack
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.reasons import BODY_BYTES_LIMIT, IN_FLIGHT_LIMIT
from rpc.permits import IN_FLIGHT, Permits, refusal


class BodyLimit:
    """Collects the whole body before the request is handled, so that a slow sender holds only the bytes that it sent.

    Raises HTTPException for a body larger than `max_bytes` (413) or slower than `timeout_s` (408), and Overloaded where
    all bodies together would be larger than `max_total_bytes`.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_total_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._free_bytes = max_total_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the body, then has the request handled."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Request(scope, receive))
        except ClientDisconnect:
            return
        try:
            await self._app(scope, _replayed(body, receive), send)
        finally:
            self._free_bytes += len(body)

    async def _read(self, request: Request) -> bytes:
        """The whole body, which is counted until the request ends; a body that fails is not."""
        # A length that cannot be accepted is refused before the first byte is read; h11 saw to it that it is a number.
        self._require_room(0, int(request.headers.get("content-length", 0)))
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                async for chunk in request.stream():
                    self._require_room(len(body), len(chunk))
                    self._free_bytes -= len(chunk)
                    body += chunk
        except BaseException as error:
            self._free_bytes += len(body)
            if isinstance(error, TimeoutError):
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the request body took too long to arrive") from error
            raise
        return bytes(body)

    def _require_room(self, size: int, more: int) -> None:
        if size + more > self._max_bytes:
            message = f"the request body is larger than {self._max_bytes >> 20} MiB; send less at once"
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        if more > self._free_bytes:
            raise refusal(BODY_BYTES_LIMIT, "too many large bodies at once; send again a little later")


class InFlightLimit:
    """Raises Overloaded while too many requests are in flight, or too many of one caller; paths in `always` are exempt.

    `request.state.permits` is what a request holds; a route that only waits for events closes it early.
    """

    def __init__(self, app: ASGIApp, *, max_in_flight: int, always: Collection[str] = ()) -> None:
        self._app = app
        message = "too many requests at once; send again a little later"
        self._permits = Permits(max_in_flight, reason=IN_FLIGHT_LIMIT, message=message, gauge=IN_FLIGHT)
        self._always = frozenset(always)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the request handled where a permit is left."""
        if scope["type"] != "http" or scope["path"] in self._always:
            await self._app(scope, receive, send)
            return
        with ExitStack() as permits:
            permits.enter_context(scope["state"]["caller"].acquire())
            permits.enter_context(self._permits.acquire())
            scope["state"]["permits"] = permits
            await self._app(scope, receive, send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A channel that gives the body as one message; after it only a disconnect can arrive."""
    unread = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": unread.pop(), "more_body": False} if unread else await receive()

    return replay
