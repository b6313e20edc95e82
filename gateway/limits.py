"""Limits of every request: how many at once, how large a body, and how long it may take to arrive."""

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import error_response, problem, problem_response
from rpc import telemetry
from rpc.errors import Overloaded


class InFlightLimit:
    """Answers 429 at once when too many requests are being worked on."""

    def __init__(self, app: ASGIApp, *, max_in_flight: int) -> None:
        self._app = app
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._in_flight >= self._max_in_flight:
            telemetry.REJECTED.labels("IN_FLIGHT_LIMIT").inc()
            refusal = Overloaded("too many requests at once; send again a little later", reason="IN_FLIGHT_LIMIT")
            await error_response(refusal)(scope, receive, send)
        else:
            await self._admit(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._in_flight += 1
        try:
            with telemetry.IN_FLIGHT.track_inprogress():
                await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1


class BodyLimit:
    """Answers 413 to a body that says it is too large before reading it, and to one that grows too large."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._too_large = f"the request body is larger than {max_bytes >> 20} MiB; send less at once"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _content_length(scope) > self._max_bytes:
            refusal = problem_response(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large))
            await refusal(scope, receive, send)
        else:
            await self._app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        ends_s = asyncio.get_running_loop().time() + self._timeout_s
        received_bytes = 0
        has_ended = False

        async def limited() -> Message:
            nonlocal received_bytes, has_ended
            if has_ended:  # what follows the body is the news of a disconnect, which may take as long as it likes
                return await receive()
            message = await _before(ends_s, receive)
            has_ended = not message.get("more_body", False)
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return limited


async def _before(ends_s: float, receive: Receive) -> Message:
    try:
        async with asyncio.timeout_at(ends_s):
            return await receive()
    except TimeoutError as error:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the request body took too long to arrive") from error


def _content_length(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0
