"""Limits of every request: how large its body may be, how long it may take to arrive, and how many are worked on at once."""

import asyncio
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.reasons import IN_FLIGHT_LIMIT
from gateway.budget import Budget, Share
from gateway.problems import error_response, problem, problem_response
from rpc.errors import Overloaded, ServiceError
from rpc.permits import IN_FLIGHT, refusal

# A length of more digits is a lie; what arrives is counted anyway.
_MAX_DIGITS = 18


def refused(reason: str, message: str) -> Overloaded:
    """A refusal for want of room, counted under its reason."""
    return refusal(reason, message)


class BodyLimit:
    """Collects a body before its request is worked on, so that a slow sender holds nothing but the bytes that it sent.

    A body larger than `max_bytes` is answered with 413, one that takes longer than `timeout_s` with 408, and one that
    finds no room among the bytes of all other bodies with 429.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, budget: Budget, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._budget = budget
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._budget.share() as share:
            try:
                body = await self._arrived(scope, receive, share)
            except ClientDisconnect:
                return
            except HTTPException as error:
                await problem_response(problem(error.status_code, error.detail))(scope, receive, send)
            except ServiceError as error:
                await error_response(error)(scope, receive, send)
            else:
                await self._app(scope, _replayed(body, receive), send)

    async def _arrived(self, scope: Scope, receive: Receive, share: Share) -> bytes:
        """The whole body; HTTPException or Overloaded says why there is none."""
        announced = _announced_bytes(scope)
        self._require_allowed(announced)
        if announced > self._budget.free:
            raise _no_room()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._collected(receive, share)
        except TimeoutError as error:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the request body took too long to arrive") from error

    async def _collected(self, receive: Receive, share: Share) -> bytes:
        body = bytearray()
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            self._require_allowed(len(body) + len(chunk))
            if not share.grow(len(chunk)):
                raise _no_room()
            body += chunk
            has_more = message.get("more_body", False)
        return bytes(body)

    def _require_allowed(self, size: int) -> None:
        if size > self._max_bytes:
            message = f"the request body is larger than {self._max_bytes >> 20} MiB; send less at once"
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)


class InFlightLimit:
    """Answers 429 at once when too many requests are being worked on; what operators probe is always answered.

    A request's place is `request.state.place`; a route that only watches gives it back early.
    """

    def __init__(self, app: ASGIApp, *, max_in_flight: int, always: Collection[str] = ()) -> None:
        self._app = app
        self._places = Budget(max_in_flight)
        self._always = frozenset(always)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._places.share() as place:
            scope.setdefault("state", {})["place"] = place
            if scope["path"] not in self._always and not place.grow(1):
                refusal = refused(IN_FLIGHT_LIMIT, "too many requests at once; send again a little later")
                await error_response(refusal)(scope, receive, send)
                return
            with IN_FLIGHT.track_inprogress():
                await self._app(scope, receive, send)


def _no_room() -> Overloaded:
    return refused("BODY_BYTES_LIMIT", "too many large bodies at once; send again a little later")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The whole body as one message; what follows is the news of a disconnect."""
    waiting = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return replay


def _announced_bytes(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() and len(length) <= _MAX_DIGITS else 0
