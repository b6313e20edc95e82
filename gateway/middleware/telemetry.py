"""Telemetry of HTTP requests: an id for each, the shared observer of calls, and a response where our code failed."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import error_response
from rpc.errors import Internal
from rpc.observer import ObservedCall
from rpc.request_id import REQUEST_ID, request_id_of


class RequestTelemetry:
    """Counts, times and logs requests under their route, never under their path or content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observes one request, and answers it where it fails without a response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = Headers(scope=scope).items()
        request_id = request_id_of(caller)
        scope.setdefault("state", {})["request_id"] = request_id
        has_begun = False
        with ObservedCall("gateway", scope["method"], request_id, caller=caller, protocol="http") as call:

            async def observed_send(message: Message) -> None:
                nonlocal has_begun
                if message["type"] == "http.response.start":
                    has_begun = True
                    call.code = str(message["status"])
                    MutableHeaders(scope=message)[REQUEST_ID] = request_id
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
