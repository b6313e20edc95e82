"""Telemetry of HTTP requests: an id for each, the shared observer of calls, and a response where our code failed."""

import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import error_response
from rpc.errors import Internal
from rpc.observer import ObservedCall

_REQUEST_ID = "x-request-id"


class RequestTelemetry:
    """Counts, times and logs requests under their route, never under their path or content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observes one request, and answers it where it fails without a response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        has_begun = False
        with ObservedCall("gateway", scope["method"], request_id) as call:

            async def observed_send(message: Message) -> None:
                nonlocal has_begun
                if message["type"] == "http.response.start":
                    has_begun = True
                    call.code = str(message["status"])
                    MutableHeaders(scope=message)[_REQUEST_ID] = request_id
                await send(message)

            try:
                await self._observed(call, scope, receive, observed_send)
            except Exception as error:
                call.log_fault(error)
                if has_begun:  # Only a response that is cut off shows the caller that it is not complete.
                    raise
                response = error_response(Internal("an internal error; see the gateway's log"))
                await response(scope, receive, observed_send)

    async def _observed(self, call: ObservedCall, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            # Known once routing is done. The route's template, because a label for each path would never end.
            call.method = f"{scope['method']} {getattr(scope.get('route'), 'path', 'unmatched')}"


def _request_id_of(scope: Scope) -> str:
    """The caller's own id where it does no harm in a log line or a header, else a new one."""
    sent = Headers(scope=scope).get(_REQUEST_ID, "")
    return sent if 0 < len(sent) <= 64 and sent.isascii() and sent.isprintable() else uuid.uuid4().hex
