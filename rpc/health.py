"""The standard health service: Check, Watch and List, for servers on threads and on an event loop."""

from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health, health_pb2

LIVENESS = "liveness"
READINESS = "readiness"
SERVICE = "grpc.health.v1.Health"

Statuses = dict[str, "health_pb2.HealthCheckResponse.ServingStatus"]


def statuses(services: Sequence[str], *, ready: bool) -> Statuses:
    """The status of each health name: a process that runs is alive, whether or not it is ready."""
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    status = serving if ready else not_serving
    return {LIVENESS: serving, "": status, READINESS: status, **dict.fromkeys(services, status)}


class ThreadHealth(health.HealthServicer):
    """Health for a server on threads; a watcher costs no thread."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__(experimental_non_blocking=True)
        self._services = services
        self.show(ready=False)

    def show(self, *, ready: bool) -> None:
        """Publishes whether the server can answer; unchanged statuses are not sent again."""
        for name, status in statuses(self._services, ready=ready).items():
            if self._server_status.get(name) != status:
                self.set(name, status)

    def List(self, request: Any, context: Any) -> health_pb2.HealthListResponse:  # noqa: ARG002, N802
        """All names with their status."""
        return _listed(self._server_status)


class AsyncHealth(health.aio.HealthServicer):  # type: ignore[name-defined, misc]
    """Health for a server on an event loop."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._services = services
        self._server_status = statuses(services, ready=False)

    async def show(self, *, ready: bool) -> None:
        """Publishes whether the server can answer; unchanged statuses are not sent again."""
        for name, status in statuses(self._services, ready=ready).items():
            if self._server_status.get(name) != status:
                await self.set(name, status)

    async def List(self, request: Any, context: Any) -> health_pb2.HealthListResponse:  # noqa: ARG002, N802
        """All names with their status."""
        return _listed(self._server_status)


def _listed(named: Statuses) -> health_pb2.HealthListResponse:
    return health_pb2.HealthListResponse(
        statuses={name: health_pb2.HealthCheckResponse(status=status) for name, status in named.items()}
    )
