"""A server listens before it serves, says so, and withdraws before it closes."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.errors import from_rpc_error
from rpc.server import AsyncServer, ThreadServer
from rpc.settings import ServerSettings
from tests.rpc.conftest import SERVICE, AsyncEncoder, ThreadEncoder

SETTINGS = ServerSettings(drain_s=1)


async def serving(channel: grpc.aio.Channel) -> set[str]:
    """The health names that are SERVING."""
    listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    return {name for name, answer in listed.statuses.items() if answer.status == health_pb2.HealthCheckResponse.SERVING}


async def refusal(channel: grpc.aio.Channel) -> tuple[grpc.StatusCode, str]:
    """How a call is refused: its code, and its reason for programs."""
    stub = encoder_pb2_grpc.EncoderServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny"), timeout=10)
    return caught.value.code(), from_rpc_error(caught.value, "encoder").reason


async def test_process_that_loads_is_alive(thread_encoder: ThreadEncoder) -> None:
    """Calls are refused in a way that clients retry, until the models are there; then the process has started."""
    register = partial(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, thread_encoder)
    with ThreadServer(SETTINGS, services=[SERVICE]) as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert await serving(channel) == {"liveness"}
            assert await refusal(channel) == (grpc.StatusCode.UNAVAILABLE, "STARTING")
            with server.offering(register, lambda: True):
                assert await serving(channel) == {"", SERVICE, "liveness", "startup", "readiness"}
                await encoder_pb2_grpc.EncoderServiceStub(channel).Encode(encoder_pb2.EncodeRequest(encoder="tiny"))
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(f"/{SERVICE}/Nothing", None, None)(b"")
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_process_that_waits_for_its_stores_has_started() -> None:
    """It waits for as long as they are away, and no probe restarts it."""
    async with (
        AsyncServer(SETTINGS, services=[SERVICE]) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        assert await serving(channel) == {"liveness", "startup"}
        assert await refusal(channel) == (grpc.StatusCode.UNAVAILABLE, "STARTING")


async def test_process_that_drains_is_alive_and_refuses(async_encoder: AsyncEncoder) -> None:
    """It is not ready at once; calls that come before its clients see that are answered, later ones are refused."""
    register = partial(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, async_encoder)
    async with (
        AsyncServer(SETTINGS, services=[SERVICE]) as server,
        server.offering(register, is_ready),
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        running = stub.Encode(encoder_pb2.EncodeRequest(encoder="wait"), timeout=10)
        await async_encoder.waiting.wait()
        draining = asyncio.create_task(server.drain())
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        while (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING:
            pass
        assert "liveness" in await serving(channel)
        assert (await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny"), timeout=10)).space == "tiny"
        async_encoder.released.set()
        assert (await running).space == "wait"
        await draining
        assert (await refusal(channel))[0] is grpc.StatusCode.UNAVAILABLE


async def test_watchers_do_not_hold_a_server_open(thread_encoder: ThreadEncoder, async_encoder: AsyncEncoder) -> None:
    """A server that has nothing left to answer closes at once, whoever watches its health."""
    add = encoder_pb2_grpc.add_EncoderServiceServicer_to_server
    settings = ServerSettings(drain_s=20)
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadServer(settings, services=[SERVICE]))
        loop = await stack.enter_async_context(AsyncServer(settings, services=[SERVICE]))
        stack.enter_context(threads.offering(partial(add, thread_encoder), lambda: True))
        await stack.enter_async_context(loop.offering(partial(add, async_encoder), is_ready))
        for server in (threads, loop):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}"))
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
            await watch.read()
            async with asyncio.timeout(10):
                await (asyncio.to_thread(threads.drain) if server is threads else loop.drain())


async def is_ready() -> bool:
    """Always."""
    return True
