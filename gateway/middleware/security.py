"""Security of browsers: which pages may send requests, and what a browser may do with a response."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_MAX_SHOWN = 200

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Scripts of one release never run with the page of another.
    "Cache-Control": "no-cache",
}


class SecurityHeaders:
    """Adds the headers to every response that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class OriginCheck:
    """Raises HTTPException for a foreign host name (DNS rebinding, 421) and for writes from other pages (forgery, 403)."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._hosts = _LOOPBACK_HOSTS | {host.lower() for host in hosts}
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._require_known_host(headers.get("host", ""))
            if scope["method"] not in _SAFE_METHODS:
                self._require_own_page(headers.get("host", ""), headers.get("origin"))
        await self._app(scope, receive, send)

    def _require_known_host(self, host: str) -> None:
        # A site can make its own name lead to this machine, but its pages' requests then carry that name.
        name = (_split(f"//{host}").hostname or "").rstrip(".")
        if "*" not in self._hosts and name not in self._hosts:
            message = f"this server does not answer as {host[:_MAX_SHOWN]!r}; set FOVEA_GATEWAY_HOSTS"
            raise HTTPException(HTTPStatus.MISDIRECTED_REQUEST, message)

    def _require_own_page(self, host: str, origin: str | None) -> None:
        # Programs that are not browsers send no origin.
        if origin is None or origin in self._origins or (host and _split(origin).netloc == host):
            return
        message = f"pages of {origin[:_MAX_SHOWN]!r} may not change anything here; set FOVEA_GATEWAY_CORS_ORIGINS"
        raise HTTPException(HTTPStatus.FORBIDDEN, message)


def _split(url: str) -> SplitResult:
    """The parts of a URL; empty parts where it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
