"""A gateway with nothing behind it, as it behaves to clients that stop half-way."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.support.processes import server_process

NOWHERE = "127.0.0.1:1"
MAX_IN_FLIGHT = 2
MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway with small limits."""
    with server_process(
        tmp_path_factory.mktemp("protocol"),
        "gateway",
        port=0,
        search=NOWHERE,
        ingest=NOWHERE,
        encoders=[],
        max_in_flight=MAX_IN_FLIGHT,
        max_body_mib=8,
        max_bodies_mib=8,
        head_timeout_s=0.5,
        body_timeout_s=20,
        write_timeout_s=1.5,
        request_timeout_s=5,
    ) as server:
        yield server.address


@contextmanager
def connection(address: str, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which these bytes were sent."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=15) as client:
        client.sendall(sent)
        yield client


def post(body: bytes, length: int | None = None) -> bytes:
    """A search whose body may be shorter than its length says; None sends it in a chunk that is not the last."""
    framing = (
        f"Content-Length: {length}\r\n\r\n"
        if length is not None
        else f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n"
    )
    head = "POST /api/v1/collections/photos/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return (head + framing).encode() + body + (b"\r\n" if length is None else b"")


def answer(client: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the next answer."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, response.read()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /heal",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal",
    ],
)
def test_half_a_head_does_not_live_for_ever(gateway: str, sent: bytes) -> None:
    """A connection is closed when the head of its first or its next request does not arrive in time."""
    started_s = time.monotonic()
    with connection(gateway, sent) as client:
        while client.recv(4096):
            pass

    assert time.monotonic() - started_s < 12


def test_dripping_head_is_closed_in_time(gateway: str) -> None:
    """Each new byte of a head does not give it more time."""
    with connection(gateway, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") as client:
        client.settimeout(0.1)
        give_up_s = time.monotonic() + 12
        while time.monotonic() < give_up_s:
            try:
                client.sendall(b"a")
                if not client.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("the connection is still open")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 6\r\n\r\n",
        post(b"{")[:-5] + b"zz\r\n",
    ],
)
def test_what_is_not_http_is_a_problem_too(gateway: str, sent: bytes) -> None:
    """The one answer that comes from below the gateway has its form as well."""
    with connection(gateway, sent) as client:
        status, body = answer(client)

    assert (status, json.loads(body)["status"]) == (400, 400)


def test_slow_bodies_hold_no_permits(gateway: str) -> None:
    """Far more bodies than permits can arrive at once: every route still answers, and each body once it is complete."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(gateway, post(b"{", 2))) for _ in range(64)]
        for path in ("/healthz", "/metrics", "/docs", "/api/v1/encoders"):
            assert httpx.get(f"http://{gateway}{path}").status_code == 200
        assert httpx.get(f"http://{gateway}/readyz").status_code == 503
        for client in slow[:4]:
            client.sendall(b"}")
            assert answer(client)[0] == 503


def test_client_that_does_not_read_is_dropped(gateway: str) -> None:
    """A response that is not read is given up, and its permit is released."""
    host, _, port = gateway.partition(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        # One answer after the other, until they fill what the system itself holds of them.
        request = f"GET {address_in_page(gateway, '/docs', 'swagger-ui-bundle.js')} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.sendall(request.encode() * 16)
        _wait_for_in_flight(gateway, 1)
        _wait_for_in_flight(gateway, 0)


def address_in_page(gateway: str, page: str, filename: str) -> str:
    """The address under which a page loads a file."""
    found = re.search(rf'="(/[^"]*/{re.escape(filename)})"', httpx.get(f"http://{gateway}{page}").text)
    assert found is not None
    return found[1]


def _wait_for_in_flight(gateway: str, count: int) -> None:
    """Waits until the metrics count so many requests in flight; the one for the metrics needs no permit."""
    give_up_s = time.monotonic() + 20
    while f"fovea_in_flight {count}.0" not in httpx.get(f"http://{gateway}/metrics").text:
        assert time.monotonic() < give_up_s, f"there are never {count} requests in flight"


@pytest.mark.parametrize("length", [8 * MIB, None])
def test_bodies_share_one_budget(gateway: str, length: int | None) -> None:
    """What has arrived of all bodies counts together, whether they tell their length or come in chunks."""
    url = f"http://{gateway}/api/v1/collections/photos/search"
    with connection(gateway, post(bytes(6 * MIB), length)):
        refused = _until_refused(url, bytes(4 * MIB))
        assert refused.json()["reason"] == "BODY_BYTES_LIMIT"
        assert refused.headers["retry-after"] == "1"
        assert httpx.get(f"http://{gateway}/healthz").status_code == 200
        assert httpx.post(url, content=b"{", headers={"content-type": "application/json"}).status_code == 400

    give_up_s = time.monotonic() + 10
    while httpx.post(url, content=bytes(8 * MIB)).status_code == 429:
        assert time.monotonic() < give_up_s, "the bytes of a sender who is gone are still counted"


def _until_refused(url: str, content: bytes) -> httpx.Response:
    """The first refusal: the other body may still be on its way."""
    give_up_s = time.monotonic() + 10
    while time.monotonic() < give_up_s:
        response = httpx.post(url, content=content)
        if response.status_code == 429:
            return response
    pytest.fail("the budget of body bytes has no end")


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/docs", "/api/v1/encoders", "main.js", "/nowhere"]
)
def test_head_is_get_without_its_body(gateway: str, path: str) -> None:
    """HEAD works wherever GET does, with the same status and headers."""
    url = f"http://{gateway}{path if path.startswith('/') else address_in_page(gateway, '/', path)}"
    get, head = httpx.get(url), httpx.head(url)

    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # which counts the requests
        assert head.headers["content-length"] == get.headers["content-length"]
