"""The standard health service: Check, Watch and List, for servers on threads and on an event loop."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from rpc.tasks import end

LIVENESS = "liveness"
STARTUP = "startup"
READINESS = "readiness"
SERVICE = "grpc.health.v1.Health"

Statuses = dict[str, "health_pb2.HealthCheckResponse.ServingStatus"]


def statuses(services: Sequence[str], *, started: bool, ready: bool) -> Statuses:
    """The status of each health name: a process that listens is alive, whether or not it has started or is ready."""
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    status = serving if ready else not_serving
    startup = serving if started else not_serving
    return {LIVENESS: serving, STARTUP: startup, "": status, READINESS: status, **dict.fromkeys(services, status)}


class _Watcher:
    """One Watch call; it gets each status once, the current one last."""

    def __init__(self, service: str, send: Callable[[Any], None]) -> None:
        self._service = service
        self._send = send
        self._sent: int | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def update(self, status_of: Callable[[str], int]) -> None:
        """Sends the current status where it has changed."""
        with self._lock:
            status = status_of(self._service)
            if status != self._sent and not self._is_closed:
                self._sent = status
                self._send(health_pb2.HealthCheckResponse(status=status))

    def close(self) -> None:
        """Ends the call, once."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._send(None)


class ThreadHealth(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Health for a server on threads; a watcher costs no thread.

    Not the library's: it sends under the lock that its callback for closed calls takes, on the thread that completes
    sends, so one watcher that left while another was sent a status stopped the whole server.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._statuses = statuses(services, started=False, ready=False)
        self._watchers: set[_Watcher] = set()
        self._is_stopping = False
        # Never held while something is sent.
        self._lock = threading.Lock()

    def show(self, *, ready: bool) -> None:
        """Publishes whether a server that has started can answer; unchanged statuses are not sent again."""
        if not self._is_stopping:
            self._publish(statuses(self._services, started=True, ready=ready))

    def stop(self) -> None:
        """Publishes, as the last status, that the server takes no calls any more; it stays alive while it drains."""
        self._is_stopping = True
        self._publish(statuses(self._services, started=True, ready=False))

    def end_watches(self) -> None:
        """Ends the calls of all watchers, which would hold the server open."""
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.close()

    def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802
        """The status of one name; NOT_FOUND for others."""
        if request.service not in self._statuses:
            context.set_code(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=self._statuses.get(request.service))

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> None:  # noqa: N802
        """The status of one name now and at each change."""
        watcher = _Watcher(request.service, send_response_callback)
        with self._lock:
            self._watchers.add(watcher)
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)
        watcher.update(self._status)

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined] # gRPC's name for "returns at once, sends later"

    def List(self, request: Any, context: Any) -> health_pb2.HealthListResponse:  # noqa: ARG002, N802
        """All names with their status."""
        return _listed(self._statuses)

    def _publish(self, changed: Statuses) -> None:
        self._statuses = changed
        with self._lock:
            watchers = list(self._watchers)  # a copy, so that watchers may come and go while others are sent to
        for watcher in watchers:
            watcher.update(self._status)

    def _status(self, service: str) -> int:
        return int(self._statuses.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN))

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)
        watcher.close()


class AsyncHealth(health.aio.HealthServicer):  # type: ignore[name-defined, misc]
    """Health for a server on an event loop."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._services = services
        self._server_status = statuses(services, started=False, ready=False)
        self._ending = asyncio.Event()

    def end_watches(self) -> None:
        """Ends the calls of all watchers, which would hold the server open."""
        self._ending.set()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        """The status of one name now and at each change, until the server closes."""
        watching = asyncio.create_task(super().Watch(request, context), name="watch")
        ending = asyncio.create_task(self._ending.wait(), name="end of watches")
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(watching)
            await end(ending)

    async def show(self, *, ready: bool) -> None:
        """Publishes whether a server that has started can answer; unchanged statuses are not sent again."""
        for name, status in statuses(self._services, started=True, ready=ready).items():
            if self._server_status.get(name) != status:
                await self.set(name, status)

    async def List(self, request: Any, context: Any) -> health_pb2.HealthListResponse:  # noqa: ARG002, N802
        """All names with their status."""
        return _listed(self._server_status)


def _listed(named: Statuses) -> health_pb2.HealthListResponse:
    return health_pb2.HealthListResponse(
        statuses={name: health_pb2.HealthCheckResponse(status=status) for name, status in named.items()}
    )
