"""A gRPC server with everything that each Fovea process needs: limits, health, reflection, statuses and draining."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2_grpc

from rpc import health
from rpc.codec import REFUSABLE_BYTES
from rpc.interceptors import AsyncInterceptor, ThreadInterceptor
from rpc.offered import OfferedServices
from rpc.permits import Tally
from rpc.reflection import add_reflection
from rpc.security.process import PLAIN, Security
from rpc.settings import ServerSettings
from rpc.tasks import end

_READINESS_PERIOD_S = 1.0
_READINESS_TIMEOUT_S = 5.0
# How long calls are still answered once health says NOT_SERVING, so that clients that watch it leave without a failed call.
_NOTICE_S = 0.3
# How long calls are refused before the port closes: gRPC ends a call that it has just read with CANCELLED, which nobody retries.
_REFUSAL_S = 0.1
# Beside the calls that are worked on: those about to be refused, silent ones, and a health watch for each connection.
_WAITING_CALLS = 1024
_PROBES = 16

logger = logging.getLogger(__name__)


class ThreadServer:
    """A server whose calls run on threads: for processes that mostly compute.

    With a `tally` this is one of several processes that have the same port, which their parent holds: each takes a part of
    the connections, and all together keep to `max_in_flight`.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        services: Sequence[str],
        security: Security = PLAIN,
        tally: Tally | None = None,
    ) -> None:
        self._settings = settings
        self._security = security
        self._reuse_port = tally is not None
        self._services = services
        self._offered = OfferedServices(services)
        self._health = health.ThreadHealth(services)
        self._interceptor = ThreadInterceptor(settings, security.access, tally)
        self._stopping = threading.Event()
        self._server: grpc.Server | None = None
        self._probes: grpc.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Open the port, with health alone; OSError when it is taken."""
        calls = self._settings.max_in_flight + _WAITING_CALLS
        # A thread for each call: one that waits for its message keeps no other from its own. They are started when needed.
        self._server = grpc.server(
            ThreadPoolExecutor(calls, thread_name_prefix="call"),
            interceptors=[self._interceptor],
            options=_options(self._settings, reuse_port=self._reuse_port),
            maximum_concurrent_rpcs=calls,
        )
        _add_services(self._server, self._services, self._health, self._offered)
        self.port = _bind(self._server, self._settings.address, self._security.server_credentials())
        self._server.start()
        if self._settings.health_port:
            self._probes = grpc.server(
                ThreadPoolExecutor(_PROBES, thread_name_prefix="probe"), options=_port_options(reuse=self._reuse_port)
            )
            _open_for_probes(self._probes, self._settings, self._health)
            self._probes.start()
        logger.info("listening", extra={"address": self._settings.address, "port": self.port})
        return self

    def __exit__(self, *raised: object) -> None:
        for server in (self._server, self._probes):
            if server is not None:
                server.stop(None).wait()

    @contextmanager
    def offering(self, register: Callable[[grpc.Server], None], is_ready: Callable[[], bool]) -> Iterator[None]:
        """Serve what `register` adds, and publish whether it `is_ready`; drain at the end of the block."""
        self._offered.offer(register)
        self._health.show(ready=is_ready())
        threading.Thread(target=self._watch_readiness, args=(is_ready,), name="readiness", daemon=True).start()
        logger.info("serving", extra={"port": self.port})
        try:
            yield
        finally:
            self.drain()

    def drain(self) -> None:
        """Refuse new calls, let running ones finish within the drain time, and close the port."""
        self._stopping.set()
        self._health.stop()
        time.sleep(min(_NOTICE_S, self._settings.drain_s))
        self._offered.withdraw()
        time.sleep(min(_REFUSAL_S, self._settings.drain_s))
        self._health.end_watches()
        if self._server is not None:
            self._server.stop(self._settings.drain_s).wait()

    def _watch_readiness(self, is_ready: Callable[[], bool]) -> None:
        while not self._stopping.wait(_READINESS_PERIOD_S):
            self._health.show(ready=is_ready())
            self._interceptor.end_silent_calls()


class AsyncServer:
    """A server whose calls run on an event loop: for processes that mostly wait."""

    def __init__(self, settings: ServerSettings, *, services: Sequence[str], security: Security = PLAIN) -> None:
        self._settings = settings
        self._security = security
        self._services = services
        self._offered = OfferedServices(services)
        self._health = health.AsyncHealth(services)
        self._server: grpc.aio.Server | None = None
        self._probes: grpc.aio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        """Open the port, with health alone; OSError when it is taken. Such a process has started: it waits for others."""
        settings = self._settings
        self._server = grpc.aio.server(
            interceptors=[AsyncInterceptor(settings, self._security.access)],
            options=_options(settings),
            maximum_concurrent_rpcs=settings.max_in_flight + settings.max_streams + _WAITING_CALLS,
        )
        _add_services(self._server, self._services, self._health, self._offered)
        self.port = _bind(self._server, settings.address, self._security.server_credentials())
        await self._health.show(ready=False)
        await self._server.start()
        if settings.health_port:
            self._probes = grpc.aio.server(options=_port_options(), maximum_concurrent_rpcs=_PROBES)
            _open_for_probes(self._probes, settings, self._health)
            await self._probes.start()
        logger.info("listening", extra={"address": settings.address, "port": self.port})
        return self

    async def __aexit__(self, *raised: object) -> None:
        for server in (self._server, self._probes):
            if server is not None:
                await server.stop(None)

    @asynccontextmanager
    async def offering(
        self, register: Callable[[grpc.aio.Server], None], is_ready: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[None]:
        """Serve what `register` adds, and publish whether it `is_ready`; drain at the end of the block."""
        self._offered.offer(register)
        await self._health.show(ready=await _can_serve(is_ready))
        watching = asyncio.create_task(self._watch_readiness(is_ready), name="readiness")
        logger.info("serving", extra={"port": self.port})
        try:
            yield
        finally:
            await end(watching)
            await self.drain()

    async def drain(self) -> None:
        """Refuse new calls, let running ones finish within the drain time, and close the port."""
        await self._health.show(ready=False)
        await asyncio.sleep(min(_NOTICE_S, self._settings.drain_s))
        self._offered.withdraw()
        await asyncio.sleep(min(_REFUSAL_S, self._settings.drain_s))
        self._health.end_watches()
        if self._server is not None:
            await self._server.stop(self._settings.drain_s)

    async def _watch_readiness(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await asyncio.sleep(_READINESS_PERIOD_S)
            await self._health.show(ready=await _can_serve(is_ready))


async def _can_serve(is_ready: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(_READINESS_TIMEOUT_S):
            return await is_ready()
    except Exception as error:  # noqa: BLE001 - any failure means "not ready"
        logger.warning("not ready", extra={"cause": repr(error)})
        return False


def _add_services(
    server: grpc.Server | grpc.aio.Server, services: Sequence[str], health_servicer: Any, offered: OfferedServices
) -> None:
    """Adds the standard services and those that will be offered."""
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    add_reflection(server, [*services, health.SERVICE])
    server.add_generic_rpc_handlers((offered,))


def _open_for_probes(server: grpc.Server | grpc.aio.Server, settings: ServerSettings, health_servicer: Any) -> None:
    """Adds health alone, for probes that have neither a certificate nor a token."""
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    _bind(server, f"{settings.address.rpartition(':')[0]}:{settings.health_port}", None)


def _bind(server: grpc.Server | grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """The port that the server listens on; OSError where it is taken."""
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: the port is taken or the address is not this machine's") from error


def _options(settings: ServerSettings, *, reuse_port: bool = False) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes + REFUSABLE_BYTES),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.max_concurrent_streams", 1024),
        # An image of 150 KB arrives in one frame instead of ten, which spares a tenth of what gRPC does for such a call.
        ("grpc.http2.max_frame_size", 1 << 20),
        # Old connections end, so that clients look names up again and find new replicas; running calls finish.
        ("grpc.max_connection_age_ms", round(settings.connection_age_s * 1000)),
        ("grpc.max_connection_idle_ms", 900_000),
        # Go's clients and service meshes ping every 10 s, also on connections without calls.
        ("grpc.http2.min_ping_interval_without_data_ms", round(settings.ping_interval_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        # The server pings too, so that the calls of a client whose machine has failed end.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
        *_port_options(reuse=reuse_port),
    ]


def _port_options(*, reuse: bool = False) -> list[tuple[str, int]]:
    """Without them two processes share a taken port in silence."""
    return [("grpc.so_reuseport", int(reuse))]
