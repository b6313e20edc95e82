"""Probes: questions that a process answers once it can be used. A probe is awaited and says yes or no."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

Probe: TypeAlias = Callable[[], Awaitable[bool]]

_TIMEOUT_S = 1.0


def accepts_connections(host: str, port: int) -> Probe:
    """Yes when something listens: for stores, whose users ask them real questions before they call themselves ready."""

    async def ask() -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    return ask


def serves_grpc(target: str) -> Probe:
    """Yes when the health service says that `readiness` is SERVING."""

    async def ask() -> bool:
        # A proxy has no business between processes of one machine.
        async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
            request = health_pb2.HealthCheckRequest(service="readiness")
            try:
                response = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=_TIMEOUT_S)
            except grpc.RpcError:
                return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    return ask


def serves_http(url: str) -> Probe:
    """Yes when a GET of `url` is answered with 200."""

    async def ask() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_S) as client:
                return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return ask
