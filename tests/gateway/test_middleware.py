import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gateway.middleware.limits import BodyLimit, InFlightLimit
from gateway.middleware.security import OriginCheck, SecurityHeaders
from gateway.middleware.telemetry import RequestTelemetry
from gateway.middleware.tokens import TokenCheck
from gateway.problems import EXCEPTION_HANDLERS
from rpc.security.access import EVERYBODY

Endpoint = Callable[[Request], Awaitable[Response]]
ERRORS = Middleware(ExceptionMiddleware, handlers=EXCEPTION_HANDLERS)


def _client(middleware: Middleware, endpoint: Endpoint, *more: Middleware) -> httpx.AsyncClient:
    routes = [Route("/", endpoint, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[ERRORS, *more, middleware])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8080")


async def _ok(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _read(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("LOCALHOST.", 200),
        ("photos.example", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
async def test_only_known_host_names_are_answered(host: str, status: int) -> None:
    """A page that rebinds its own name to this machine gets nothing."""
    check = Middleware(OriginCheck, hosts=("photos.example",), origins=())
    async with _client(check, _ok) as client:
        response = await client.get("/", headers={"host": host})

    assert response.status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", 200),
        ("https://shop.example", 200),
        ("http://localhost:9090", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
        ("http://[::1", 403),
        ("http://evil@localhost:8080", 403),
        ("x" * 5_000, 403),
    ],
)
async def test_other_pages_may_not_write(origin: str, status: int) -> None:
    """A form on another page cannot fill or empty a collection; a configured origin may."""
    check = Middleware(OriginCheck, hosts=(), origins=("https://shop.example",))
    async with _client(check, _ok) as client:
        response = await client.post("/", headers={"origin": origin})
        assert response.status_code == status
        assert len(response.content) < 1_000
        assert (await client.get("/", headers={"origin": origin})).status_code == 200


async def test_answers_set_their_own_policy_or_get_ours() -> None:
    """The policy for uploaded images is not overwritten."""

    async def own(_: Request) -> Response:
        return PlainTextResponse("ok", headers={"Content-Security-Policy": "sandbox"})

    async with _client(Middleware(SecurityHeaders), own) as client:
        response = await client.get("/")

    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_body_that_says_it_is_too_large_is_not_read() -> None:
    """413 comes before the first byte of the body."""
    received = []

    async def receive() -> Message:
        received.append(1)
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    limited = BodyLimit(Starlette(), max_bytes=1 << 20, max_total_bytes=8 << 20, timeout_s=5)
    headers = [(b"host", b"localhost"), (b"content-length", str((1 << 20) + 1).encode())]
    app = ExceptionMiddleware(limited, handlers=EXCEPTION_HANDLERS)
    await app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)

    assert sent[0]["status"] == 413
    assert b"1 MiB" in sent[1]["body"]
    assert received == []


async def test_body_that_grows_too_large_is_cut_off() -> None:
    """A body without a length is counted while it arrives."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(512 << 10)

    async with _client(Middleware(BodyLimit, max_bytes=1 << 20, max_total_bytes=8 << 20, timeout_s=5), _read) as client:
        assert (await client.post("/", content=chunks())).status_code == 413
        assert (await client.post("/", content=bytes(1 << 20))).text == str(1 << 20)


async def test_body_that_trickles_times_out() -> None:
    """A sender that never ends cannot hold a request."""

    async def trickle() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with _client(
        Middleware(BodyLimit, max_bytes=1 << 20, max_total_bytes=8 << 20, timeout_s=0.05), _read
    ) as client:
        response = await client.post("/", content=trickle())

    assert response.status_code == 408


async def test_too_many_at_once_are_refused_at_once() -> None:
    """The one over the limit gets 429 with Retry-After, and there is room again afterwards."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> Response:
        entered.set()
        await leave.wait()
        return PlainTextResponse("ok")

    everybody = Middleware(TokenCheck, access=EVERYBODY, always=())
    async with _client(Middleware(InFlightLimit, max_in_flight=1), wait, everybody) as client:
        first = asyncio.create_task(client.get("/"))
        await entered.wait()
        refused = await client.get("/")
        leave.set()

        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["reason"] == "IN_FLIGHT_LIMIT"
        assert (await first).status_code == 200
        assert (await client.get("/")).status_code == 200


async def test_bug_answers_without_internals() -> None:
    """A bug is answered with a problem document that shows no internals, under an id that the log has too."""

    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        message = "secret"
        raise RuntimeError(message)

    telemetry = RequestTelemetry(fail)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(telemetry), base_url="http://localhost") as client:
        response = await client.get("/", headers={"x-request-id": "mine"})

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("sent", ["", "x" * 65, "a\tb", "é"])
async def test_useless_request_id_is_replaced(sent: str) -> None:
    """What would spoil a log line or a header is not passed on."""

    async def tell(request: Request) -> Response:
        return JSONResponse(request.state.request_id)

    async with _client(Middleware(RequestTelemetry), tell) as client:
        response = await client.get("/", headers={b"x-request-id": sent.encode()})

    assert response.json() == response.headers["x-request-id"] != sent
    assert len(response.json()) == 32
