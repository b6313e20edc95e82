"""Images by URL: https only, from public addresses only, and never from an address that was not checked.

A URL is a way into the network that the server stands in, so a caller may name a host and nothing more. The host is resolved
once; where one of its addresses is not public, nothing is fetched. The connection goes to an address that was checked, and TLS
proves that the host answers there. Redirects are not followed, and size and time are bounded.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

import httpcore

from domain.limits import MAX_URI_BYTES
from sources.errors import MissingSourceError, SourceError

MAX_FETCHES = 8  # at once
TIMEOUT_S = 10.0
PORT = 443

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_HOST = 253
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
# Inside it: the addresses of tunnels, in which another address is hidden, and what is for documentation and benchmarks.
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "192.88.99.0/24"))
)

_HEADERS = (("Accept", "image/*"), ("Accept-Encoding", "identity"), ("User-Agent", "fovea"))

Resolve = Callable[[str], Awaitable[Iterable[str]]]


class UrlParts(NamedTuple):
    """What is asked of which host."""

    host: str
    target: str


class WebImages:
    """Fetches images by URL; all methods raise SourceError. `resolve` and `is_allowed` are other ones in tests."""

    def __init__(
        self,
        max_bytes: int,
        *,
        timeout_s: float = TIMEOUT_S,
        resolve: Resolve | None = None,
        is_allowed: Callable[[str], bool] | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = PORT,
    ) -> None:
        self.max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolve = resolve or _resolved
        self._is_allowed = is_allowed or is_public
        self._tls = tls or ssl.create_default_context()
        self._port = port
        self._permits = asyncio.Semaphore(MAX_FETCHES)

    async def fetch(self, url: str) -> bytes:
        """The bytes at the URL, at most `max_bytes`."""
        parts = parse_url(url)
        async with self._permits:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._fetch(parts)
            except TimeoutError as error:
                raise SourceError(f"{parts.host} did not send the image within {self._timeout_s:g} s") from error
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
                raise SourceError(f"the image cannot be fetched from {parts.host}: {_cause(error)}") from error

    async def _fetch(self, parts: UrlParts) -> bytes:
        backend = _CheckedBackend(await self._addresses(parts.host))
        async with httpcore.AsyncConnectionPool(self._tls, network_backend=backend) as pool:
            url = httpcore.URL(scheme="https", host=parts.host, port=self._port, target=parts.target)
            headers = [("Host", parts.host), *_HEADERS]
            async with pool.stream("GET", url, headers=headers) as response:
                _check(response, parts.host)
                data = bytearray()
                async for chunk in response.aiter_stream():
                    data += chunk
                    if len(data) > self.max_bytes:
                        raise SourceError(f"the image at the URL is larger than {self.max_bytes >> 20} MiB")
                return bytes(data)

    async def _addresses(self, host: str) -> list[str]:
        """The addresses of the host, asked for once; refused if one of them is not public."""
        try:
            addresses = list(dict.fromkeys(await self._resolve(host)))
        except (OSError, UnicodeError) as error:
            raise SourceError(f"there is no host {host}") from error
        # Which of them it is stays unsaid: callers must not learn what is inside.
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise SourceError(f"{host} does not have public addresses only, so nothing is fetched from it")
        return addresses


def is_url(uri: str) -> bool:
    """Whether a uri asks for the web."""
    return uri[:8].lower() == "https://"


def parse_url(url: str) -> UrlParts:
    """What a URL asks for; SourceError unless it is https, with a host by name, without a user or a port of its own."""
    if len(url) > MAX_URI_BYTES or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise SourceError(f"a URL has at most {MAX_URI_BYTES:,} printable ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceError("this is not a URL") from error
    if parts.scheme != "https":
        raise SourceError("only https URLs are fetched")
    if "@" in parts.netloc:
        raise SourceError("a URL must not name a user")
    if port not in (None, PORT):
        raise SourceError(f"images are fetched from port {PORT} only")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return UrlParts(_host_of(parts.hostname or ""), target)


def is_public(address: str) -> bool:
    """Whether an address is of a host on the internet, and hides no other address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and (parsed.scope_id or parsed not in _GLOBAL_IPV6):
        return False
    inside = any(parsed in network for network in _NOT_PUBLIC if network.version == parsed.version)
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved and not inside


def _host_of(name: str) -> str:
    """The host by its name: numbers, in whatever form, are addresses and name nobody that TLS could prove."""
    host = name.lower().removesuffix(".")
    labels = host.split(".")
    is_number = labels[-1].isdigit() or labels[-1].startswith("0x")
    if is_number or len(labels) < 2 or len(host) > _MAX_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise SourceError("a URL names its host by a full name, such as images.example.org")
    return host


async def _resolved(host: str) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, whatever the name stands for by now."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - resolved and checked before
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *others, last = self._addresses
        for address in others:
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._sockets.connect_tcp(last, port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("no URL is a socket")

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)


def _check(response: httpcore.Response, host: str) -> None:
    if 300 <= response.status < 400:
        raise SourceError(f"{host} sends on to another address; redirects are not followed, name that one")
    if response.status in (404, 410):
        raise MissingSourceError(f"{host} has no such image")
    if response.status != 200:
        raise SourceError(f"{host} answers {response.status}")
    names = {name.lower(): value for name, value in response.headers}
    if names.get(b"content-encoding", b"identity").lower() != b"identity":
        raise SourceError(f"{host} compresses what it sends, which is not read")


def _cause(error: Exception) -> str:
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or isinstance(
        error.__context__, ssl.SSLCertVerificationError
    ):
        return "its certificate is not valid for this name"
    return "the connection failed"
