"""Who may talk to the gateway from a browser, and what a browser may do with what it says."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import problem, problem_response

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
    """Adds the headers to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class OriginCheck:
    """Refuses requests under a foreign host name (DNS rebinding) and writes from other web pages (forgery)."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._hosts = _LOOPBACK_HOSTS | {host.lower() for host in hosts}
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""
        refusal = self._refusal(Headers(scope=scope), scope["method"]) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await problem_response(problem(*refusal))(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> tuple[HTTPStatus, str] | None:
        host = headers.get("host", "")
        if "*" not in self._hosts and _host_name(host) not in self._hosts:
            return (
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this server does not answer as {host[:_MAX_SHOWN]!r}; set FOVEA_GATEWAY_HOSTS",
            )
        origin = headers.get("origin")
        if method in _SAFE_METHODS or origin is None or origin in self._origins or _place_of(origin) == host:
            return None
        return (
            HTTPStatus.FORBIDDEN,
            f"pages of {origin[:_MAX_SHOWN]!r} may not change anything here; set FOVEA_GATEWAY_CORS_ORIGINS",
        )


def _place_of(origin: str) -> str | None:
    """The host and port of an Origin header; None where it names none or is malformed."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; empty for one that is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
