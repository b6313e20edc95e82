import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
import trustme

from sources.errors import MissingSourceError, SourceError
from sources.web import WebImages, is_public, is_url, parse_url

HOST = "images.example.org"

INSIDE = [
    "0.0.0.0",  # noqa: S104 - nothing binds to it
    *("127.0.0.1", "127.1.2.3", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.1"),
    *("192.168.0.1", "192.168.255.255", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255"),
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "::127.0.0.1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:a9fe:a9fe",
    ),
    *(
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2002:a00:1::",
    ),
    *("2001:0:7f00:1::1", "2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "fe80::1", "fe80::1%eth0", "fec0::1"),
    *("fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "100::1", "5f00::1"),
]
NOT_A_NAME = [
    *("https://2130706433/a.jpg", "https://0x7f000001/a.jpg", "https://0177.0.0.1/a.jpg", "https://127.1/a.jpg"),
    *("https://0x7f.0.0.1/", "https://127.0.0.1/", "https://8.8.8.8/", "https://[::1]/", "https://[::ffff:127.0.0.1]/"),
    *("https://localhost/", "https://localhost./", "https://redis/", "https:///a.jpg", "https://", "https://a..b/"),
    *(
        "http://images.example.org/a.jpg",
        "ftp://images.example.org/",
        "file:///etc/passwd",
        "gopher://images.example.org/",
    ),
    *("https://user@images.example.org/", "https://images.example.org:6379/", "https://images.example.org:80/"),
    *(
        "https://images.example.org\\@127.0.0.1/",
        "https://images.example.org/ a",
        "https://images.example.org/\r\nX: y",
    ),
    *("https://xn--/", "https://bücher.example/", "https://images.example.org:99999/", "//images.example.org/a.jpg"),
    *(
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://images.example.org%00.evil/",
        "https://" + "a." * 200 + "b/",
    ),
]


def known(*addresses: str) -> Callable[[str], Awaitable[Iterable[str]]]:
    """A resolver that gives these addresses, and each time it is asked the next ones, where there is more than one text."""
    answers = iter(addresses)

    async def resolve(_: str) -> Iterable[str]:
        return next(answers).split()

    return resolve


class Site:
    """A TLS server for HOST, and what it was asked."""

    def __init__(self, answer: bytes, pause_s: float = 0.0) -> None:
        self._answer = answer
        self._pause_s = pause_s
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, in two pieces."""
        self.connections += 1
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            half = len(self._answer) // 2
            for piece in (self._answer[:half], self._answer[half:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self._pause_s)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web_of(
    site: Site, resolve: Callable[[str], Awaitable[Iterable[str]]], *, name: str = HOST, timeout_s: float = 5.0
) -> AsyncIterator[WebImages]:
    """The web as a fetch sees it, with one site, on this machine; with a rule that allows its address alone."""
    authority = trustme.CA()
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(there)
    authority.configure_trust(here)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=there)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield WebImages(
            1 << 20,
            timeout_s=timeout_s,
            resolve=resolve,
            is_allowed=lambda address: address == "127.0.0.1",
            tls=here,
            port=port,
        )


def answer(body: bytes = b"image", status: str = "200 OK", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


async def test_an_image_is_fetched() -> None:
    """From the address that was checked, for the name that was asked for, with nothing of ours but the request."""
    site = Site(answer())
    async with web_of(site, known("127.0.0.1")) as web:
        assert await web.fetch(f"https://{HOST}/a%20b.jpg?size=2#top") == b"image"

    [request] = site.requests
    assert request.startswith(b"GET /a%20b.jpg?size=2 HTTP/1.1\r\n")
    assert b"Host: images.example.org\r\n" in request


@pytest.mark.parametrize("address", INSIDE)
async def test_nothing_inside_is_fetched(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, multicast and documentation addresses, and those that hide another."""
    assert not is_public(address)
    for addresses in (address, f"93.184.216.34 {address}", f"{address} 93.184.216.34"):
        with pytest.raises(SourceError, match="public addresses only"):
            await WebImages(1 << 20, resolve=known(addresses)).fetch(f"https://{HOST}/a.jpg")


@pytest.mark.parametrize("url", NOT_A_NAME)
async def test_a_url_names_its_host_and_nothing_else(url: str) -> None:
    """Addresses in any form, other schemes and ports, users, and what parsers disagree about never reach the resolver."""
    with pytest.raises(SourceError):
        await WebImages(1 << 20, resolve=known()).fetch(url)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_the_internet_is_public(address: str) -> None:
    """Otherwise nothing could be fetched."""
    assert is_public(address)


async def test_a_name_that_changes_its_mind_is_asked_once() -> None:
    """What is connected to is what was checked, whatever the name stands for a moment later."""
    site = Site(answer())
    async with web_of(site, known("127.0.0.1", "10.0.0.1")) as web:
        await web.fetch(f"https://{HOST}/")
        with pytest.raises(SourceError, match="public addresses only"):
            await web.fetch(f"https://{HOST}/")

    assert site.connections == 1


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Same"]
)
async def test_a_redirect_is_not_followed(status: str) -> None:
    """Wherever it leads, also to the same host."""
    for target in ("http://169.254.169.254/latest/meta-data", f"https://{HOST}/b.jpg", "//127.0.0.1/"):
        site = Site(answer(b"", status, f"Location: {target}"))
        async with web_of(site, known("127.0.0.1")) as web:
            with pytest.raises(SourceError, match="redirects are not followed"):
                await web.fetch(f"https://{HOST}/a.jpg")
        assert len(site.requests) == 1


async def test_a_host_has_to_prove_its_name() -> None:
    """A certificate of another host, or of nobody, ends the connection before anything is sent."""
    site = Site(answer())
    async with web_of(site, known("127.0.0.1"), name="other.example.org") as web:
        with pytest.raises(SourceError, match="certificate"):
            await web.fetch(f"https://{HOST}/a.jpg")

    assert site.requests == []


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (answer(b"x" * ((1 << 20) + 1)), "larger than 1 MiB"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (3 << 20), "larger than 1 MiB"),
        (answer(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"), "compresses"),
        (answer(b"", "500 Oops"), "answers 500"),
        (answer(b"", "206 Partial"), "answers 206"),
        (b"SSH-2.0-OpenSSH\r\n", "connection failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "connection failed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20), "connection failed"),
    ],
)
async def test_answers_are_bounded_and_checked(sent: bytes, error: str) -> None:
    """Whatever a host sends, there is one sentence about it, and never more than the limit is kept."""
    async with web_of(Site(sent), known("127.0.0.1")) as web:
        with pytest.raises(SourceError, match=error):
            await web.fetch(f"https://{HOST}/a.jpg")


async def test_a_missing_image_has_an_error_of_its_own() -> None:
    """Callers see NOT_FOUND."""
    async with web_of(Site(answer(b"", "404 Not Found")), known("127.0.0.1")) as web:
        with pytest.raises(MissingSourceError):
            await web.fetch(f"https://{HOST}/a.jpg")


async def test_a_slow_host_is_given_up() -> None:
    """The time is for all of it, so that a host which sends a byte now and then holds nothing."""
    async with web_of(Site(answer(), pause_s=30), known("127.0.0.1"), timeout_s=0.5) as web:
        with pytest.raises(SourceError, match=r"within 0\.5 s"):
            await web.fetch(f"https://{HOST}/a.jpg")


def test_there_are_sixty_cases() -> None:
    """Of addresses and URLs that must not be fetched."""
    assert len(INSIDE) + len(NOT_A_NAME) >= 60
    assert all(ipaddress.ip_address(address) for address in INSIDE)
    assert is_url("HTTPS://images.example.org/")
    assert parse_url("https://Images.Example.org:443").host == HOST
