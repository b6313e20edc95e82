"""Tokens of HTTP requests: who sends each."""

import base64
import binascii
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rpc.security.access import ANYONE, AUTHORIZATION, Access


class TokenCheck:
    """Raises Unauthenticated or Overloaded; `request.state.caller` says what the caller of a request may.

    `request.state.authorization` is what the services are sent of it.

    `always` are paths, and beginnings of paths that end in a slash, which need no token.
    """

    def __init__(self, app: ASGIApp, *, access: Access, always: Collection[str]) -> None:
        self._app = app
        self._access = access
        self._paths = frozenset(always)
        self._folders = tuple(path for path in always if path.endswith("/") and path != "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Finds the caller, then has the request handled."""
        if scope["type"] == "http":
            is_open = scope["path"] in self._paths or scope["path"].startswith(self._folders)
            authorization = _as_bearer(Headers(scope=scope).get(AUTHORIZATION, ""))
            caller = ANYONE if is_open else self._access.caller(authorization)
            scope.setdefault("state", {}).update(caller=caller, authorization=authorization)
        await self._app(scope, receive, send)


def _as_bearer(authorization: str) -> str:
    """The header with a token that came as a password: browsers ask for one themselves, and send it with images too."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        password = base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {password}"
