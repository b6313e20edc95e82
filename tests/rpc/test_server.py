"""Both kinds of server refuse, fail, report and drain the same way."""

import asyncio
import itertools
import logging
import threading
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.channel import open_channel
from rpc.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    ServiceError,
    from_rpc_error,
    service_errors,
)
from rpc.server import AsyncServer, ThreadServer
from rpc.settings import ServerSettings
from tests.rpc.conftest import SERVICE, AsyncEncoder, ThreadEncoder, serving


async def encode(port: int, name: str) -> str:
    """Calls Encode once and returns the space."""
    async with open_channel(f"127.0.0.1:{port}") as channel:
        with service_errors("tiny encoder"):
            response = await encoder_pb2_grpc.EncoderServiceStub(channel).Encode(
                encoder_pb2.EncodeRequest(encoder=name), timeout=10
            )
        return response.space


async def test_answers(port: int) -> None:
    """A good call gets its answer."""
    assert await encode(port, "tiny") == "tiny"


async def test_service_error_keeps_its_message(port: int) -> None:
    """The caller reads the sentence that the service raised."""
    with pytest.raises(InvalidArgument, match="'bad' is not a name"):
        await encode(port, "bad")


async def test_bug_is_internal_and_next_call_works(port: int) -> None:
    """An unexpected exception shows nothing and breaks nothing."""
    with pytest.raises(Internal) as caught:
        await encode(port, "bug")

    assert "secret" not in str(caught.value)
    assert await encode(port, "tiny") == "tiny"


async def test_calls_that_succeed_write_no_line_unless_asked(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Both kinds of server take the setting; a call that fails has its line by default."""
    caplog.set_level(logging.INFO, logger="rpc.observer")
    await encode(port, "tiny")
    with pytest.raises(InvalidArgument):
        await encode(port, "bad")

    assert [record.__dict__["code"] for record in caplog.records] == ["INVALID_ARGUMENT"]


async def test_a_fault_of_ours_is_logged_with_its_cause(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """The caller of a broken store or model reads a sentence, those who run the service read why."""
    with pytest.raises(Internal, match="of ours"):
        await encode(port, "fault")

    [fault] = [record for record in caplog.records if record.exc_info]
    assert fault.exc_info is not None
    assert fault.exc_info[1] is not None
    assert "the true reason" in str(fault.exc_info[1].__cause__)


@pytest.mark.parametrize("limit_bytes", [1 << 10, 1 << 30])
async def test_message_over_the_limit_is_the_callers_fault(port: int, limit_bytes: int) -> None:
    """A message that either end refuses is never taken for an overload, which one would try again."""
    async with open_channel(f"127.0.0.1:{port}", max_message_bytes=limit_bytes) as channel:
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        with pytest.raises(InvalidArgument, match="too large"), service_errors("encoder"):
            await stub.Encode(encoder_pb2.EncodeRequest(encoder="x" * (65 << 20)))


async def test_what_a_server_refuses_carries_a_reason_for_programs(port: int) -> None:
    """Too large, at either end, and overloaded differ in their ErrorInfo, not by words."""
    async with open_channel(f"127.0.0.1:{port}", max_message_bytes=1 << 30) as channel:
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Encode(encoder_pb2.EncodeRequest(encoder="x" * (64 << 20)))
        with pytest.raises(grpc.aio.AioRpcError) as other:
            await stub.Encode(encoder_pb2.EncodeRequest(encoder="huge"))

    reasons = [from_rpc_error(error.value, "encoder").reason for error in (caught, other)]
    assert reasons == ["MESSAGE_TOO_LARGE", "ANSWER_TOO_LARGE"]
    assert caught.value.code() is other.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_answer_that_is_too_large_is_counted_as_what_the_caller_got(port: int) -> None:
    """Metrics know the status that was sent, not the one that was meant."""
    labels = {"service": SERVICE, "method": "Encode", "code": "INVALID_ARGUMENT"}
    before = REGISTRY.get_sample_value("fovea_requests_total", labels) or 0
    with pytest.raises(InvalidArgument, match="ask for fewer"):
        await encode(port, "huge")

    assert REGISTRY.get_sample_value("fovea_requests_total", labels) == before + 1


@pytest.mark.parametrize("method", [f"/{SERVICE}/Encode", "/grpc.health.v1.Health/Check"])
async def test_undecodable_request_is_the_callers_fault(port: int, method: str) -> None:
    """Bytes that are not a message are INVALID_ARGUMENT without the library's words, whichever server reads them."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(method, None, None)(b"\x0a\xff")

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "google" not in str(caught.value.details())


async def test_health_names(port: int) -> None:
    """Check, List and Watch know the server, its services, liveness and readiness; others are unknown."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        listed = await health.List(health_pb2.HealthListRequest())
        assert set(listed.statuses) == {"", SERVICE, "startup", "liveness", "readiness"}
        for name in listed.statuses:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest(service="nobody"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


async def test_full_thread_server_refuses_at_once(thread_server: ThreadServer, thread_encoder: ThreadEncoder) -> None:
    """A call over the limit is refused while health still answers."""
    first = asyncio.create_task(encode(thread_server.port, "wait"))
    await asyncio.to_thread(thread_encoder.waiting.wait, 10)

    with pytest.raises(Overloaded) as caught:
        await encode(thread_server.port, "tiny")

    assert caught.value.reason == "IN_FLIGHT_LIMIT"
    thread_encoder.released.set()
    assert await first == "wait"


async def test_silent_calls_hold_no_thread_server(thread_encoder: ThreadEncoder) -> None:
    """Calls that never send their message block no other, and end."""
    with serving(thread_encoder, first_message_s=1.0) as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            silent = [channel.stream_stream(f"/{SERVICE}/Encode", None, None)(None) for _ in range(100)]
            stub = encoder_pb2_grpc.EncoderServiceStub(channel)
            answer = await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny"), timeout=10)
            assert answer.space == "tiny"
            async with asyncio.timeout(20):
                codes = {await call.code() for call in silent}

    assert codes == {grpc.StatusCode.CANCELLED}


async def test_a_call_without_a_message_is_the_callers_fault(port: int) -> None:
    """It ends with a status that says what is missing."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(f"/{SERVICE}/Encode", None, None)(None)
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError, match="before its request was sent") as caught:
            await call.read()

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_full_async_server_refuses_at_once(async_server: AsyncServer, async_encoder: AsyncEncoder) -> None:
    """The same on an event loop."""
    first = asyncio.create_task(encode(async_server.port, "wait"))
    await async_encoder.waiting.wait()

    with pytest.raises(Overloaded):
        await encode(async_server.port, "tiny")

    async_encoder.released.set()
    assert await first == "wait"


async def test_call_over_the_time_limit_is_ended(async_server: AsyncServer) -> None:
    """The server's own limit holds where the caller set a longer one."""
    with pytest.raises(DeadlineExceeded, match=r"limit of 0.3 s"):
        await encode(async_server.port, "wait")


def test_taken_port_is_said_in_one_line(thread_server: ThreadServer) -> None:
    """A second server on the same port does not start."""
    second = ThreadServer(ServerSettings(address=f"127.0.0.1:{thread_server.port}"), services=[])
    with pytest.raises(OSError, match="the port is taken"), second:
        pass


async def test_stopped_server_finishes_running_calls(async_server: AsyncServer, async_encoder: AsyncEncoder) -> None:
    """Draining answers what runs and refuses what comes."""
    running = asyncio.create_task(encode(async_server.port, "wait"))
    await async_encoder.waiting.wait()
    stopping = asyncio.create_task(async_server.drain())
    async_encoder.released.set()

    assert await running == "wait"
    await stopping
    with pytest.raises(ServiceError):
        await encode(async_server.port, "tiny")


async def test_readiness_follows_the_answer() -> None:
    """A process that cannot answer is alive and not ready, and becomes ready by itself."""
    ready = threading.Event()
    with (
        ThreadServer(ServerSettings(drain_s=0), services=[SERVICE]) as server,
        server.offering(lambda _: None, ready.is_set),
    ):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            ready.set()
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()


async def test_watchers_that_come_and_go_stop_no_server() -> None:
    """Health watches that end at any moment, also while others get a change, leave the server answering."""
    flips = itertools.cycle([True, False])

    async def watch(health: Any) -> None:
        for _ in range(150):
            call = health.Watch(health_pb2.HealthCheckRequest(service="readiness"))
            await call.read()
            call.cancel()

    with (
        ThreadServer(ServerSettings(drain_s=0.1), services=[SERVICE]) as server,
        server.offering(lambda _: None, lambda: next(flips)),
    ):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            async with asyncio.timeout(60):
                await asyncio.gather(*(watch(stub) for _ in range(8)))
            answer = await stub.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=10)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
