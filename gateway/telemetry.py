"""What every HTTP request leaves behind: an id, one log line, two metrics, and an answer also when our code failed."""

import logging
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import error_response
from rpc.errors import Internal
from rpc.observer import REQUEST_DURATION, REQUESTS

_REQUEST_ID = "x-request-id"

_log = logging.getLogger(__name__)


class RequestTelemetry:
    """Counts, times and logs requests under their route, never under their path or content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started_s = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[_REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            _log.exception("a request failed", extra={"request_id": request_id})
            if status:  # the answer is under way: only cutting it off tells the caller
                raise
            await error_response(Internal("an internal error; see the gateway's log"))(scope, receive, watched)
        finally:
            _record(scope, status, request_id, time.perf_counter() - started_s)


def _request_id_of(scope: Scope) -> str:
    """The caller's own id where it is harmless in a log and a header, else a new one."""
    sent = Headers(scope=scope).get(_REQUEST_ID, "")
    return sent if 0 < len(sent) <= 64 and sent.isascii() and sent.isprintable() else uuid.uuid4().hex


def _record(scope: Scope, status: int, request_id: str, duration_s: float) -> None:
    method = f"{scope['method']} {_route_of(scope)}"
    REQUESTS.labels("gateway", method, str(status)).inc()
    REQUEST_DURATION.labels("gateway", method).observe(duration_s)
    fields = {"method": method, "code": status, "duration_ms": round(duration_s * 1000, 2), "request_id": request_id}
    _log.info("request", extra=fields)


def _route_of(scope: Scope) -> str:
    """The route's template, so that labels stay few."""
    return getattr(scope.get("route"), "path", "unmatched")
