"""Calls of an event-loop server: nothing that a caller does or leaves undone holds a permit, and reasons arrive."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from rpc.channel import channel_options, open_channel
from rpc.errors import DeadlineExceeded, InvalidArgument, NotFound, Overloaded, ServiceError, from_rpc_error
from rpc.server import AsyncServer
from rpc.settings import ServerSettings
from tests.rpc.conftest import until

SERVICE = "fovea.ingest.v1.IngestService"
END = getattr(grpc.aio, "EOF")  # noqa: B009 - the type stubs lack it
INGEST = f"/{SERVICE}/Ingest"
LIST = f"/{SERVICE}/ListCollections"


class Servicer(ingest_pb2_grpc.IngestServiceServicer):
    """Answers each message with its uri; what the first one's collection says decides how."""

    def __init__(self) -> None:
        self.has_room = asyncio.Event()
        self.open_streams = 0
        self.answers = 0

    async def ListCollections(self, request: Any, context: Any) -> ingest_pb2.ListCollectionsResponse:
        """Nothing."""
        return ingest_pb2.ListCollectionsResponse()

    async def Ingest(
        self, requests: AsyncIterator[ingest_pb2.IngestRequest], context: Any
    ) -> AsyncIterator[ingest_pb2.IngestResponse]:
        """Refuses, floods, waits for room, or echoes."""
        self.open_streams += 1
        try:
            first = await anext(requests)
            async with aclosing(self._answers(first.collection, requests)) as answers:
                async for answer in answers:
                    self.answers += 1
                    yield answer
        finally:
            self.open_streams -= 1

    async def _answers(
        self, collection: str, requests: AsyncIterator[ingest_pb2.IngestRequest]
    ) -> AsyncGenerator[ingest_pb2.IngestResponse, None]:
        if collection == "refused":
            raise NotFound("collection 'refused' does not exist")
        while collection == "flood":
            yield ingest_pb2.IngestResponse(uri="x" * 60_000)
        if collection == "no room":
            await self.has_room.wait()
        async for request in requests:
            yield ingest_pb2.IngestResponse(uri=request.item.uri)


@pytest.fixture
async def servicer() -> Servicer:
    return Servicer()  # type: ignore[abstract] # two methods are enough here


@asynccontextmanager
async def serving(servicer: Servicer, **settings: Any) -> AsyncIterator[int]:
    """The port of a server with these settings."""

    async def is_ready() -> bool:
        return True

    register = partial(ingest_pb2_grpc.add_IngestServiceServicer_to_server, servicer)
    async with (
        AsyncServer(ServerSettings(drain_s=0.1, **settings), services=[SERVICE]) as server,
        server.offering(register, is_ready),
    ):
        yield server.port


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[Any]:
    """A client of its own connection; Any, because the stubs' types know calls with an iterator only."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=channel_options(64 << 20, **options)) as channel:
        yield ingest_pb2_grpc.IngestServiceStub(channel)


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Any]:
    """A channel for bytes."""
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def opening(collection: str, uri: str = "") -> ingest_pb2.IngestRequest:
    """A first message."""
    return ingest_pb2.IngestRequest(collection=collection, item=ingest_pb2.Item(uri=uri))


async def ended(call: Any) -> ServiceError:
    """The error that a stream ends with."""
    try:
        while await call.read() is not END:
            pass
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error, "ingest")
    pytest.fail("the stream ended without an error")


async def test_silent_calls_of_any_shape_end_and_block_nobody(servicer: Servicer) -> None:
    """Calls that never send a message hold no permit, and end with a status that says so."""
    async with (
        serving(servicer, max_in_flight=2, max_streams=2, first_message_s=1.0) as port,
        raw(port) as channel,
        connected(port) as stub,
    ):
        silent = [channel.stream_stream(method)() for method in (INGEST, LIST) for _ in range(10)]
        await stub.ListCollections(ingest_pb2.ListCollectionsRequest(), timeout=10)
        async with asyncio.timeout(20):
            errors = [await ended(call) for call in silent]

    assert {type(error) for error in errors} == {DeadlineExceeded}
    assert "first message" in errors[0].message


async def test_streams_use_no_permits_of_unary_calls(servicer: Servicer) -> None:
    """With every permit for streams held, another stream is refused with its own reason and unary calls are answered."""
    async with serving(servicer, max_in_flight=1, max_streams=3) as port, connected(port) as stub:
        streams = [stub.Ingest() for _ in range(3)]
        for stream in streams:
            await stream.write(opening("echo"))
        await until(lambda: servicer.open_streams == 3)

        await stub.ListCollections(ingest_pb2.ListCollectionsRequest(), timeout=10)
        refused = stub.Ingest()
        await refused.write(opening("echo"))
        error = await ended(refused)

        assert isinstance(error, Overloaded)
        assert error.reason == "STREAM_LIMIT"
        for stream in streams:
            stream.cancel()


async def test_idle_stream_ends(servicer: Servicer) -> None:
    """A caller that stops sending while the server is ready to read loses its stream."""
    async with serving(servicer, stream_idle_s=0.5) as port, connected(port) as stub:
        stream = stub.Ingest()
        await stream.write(opening("echo"))
        await stream.write(opening("echo", "a"))
        assert (await stream.read()).uri == "a"
        error = await asyncio.wait_for(ended(stream), 20)

    assert isinstance(error, DeadlineExceeded)
    assert "nothing was sent for 0.5 s" in error.message
    assert servicer.open_streams == 0


async def test_stream_that_waits_for_room_is_not_idle(servicer: Servicer) -> None:
    """A server that is not ready to read cannot blame its caller."""
    async with serving(servicer, stream_idle_s=0.5) as port, connected(port) as stub:
        stream = stub.Ingest()
        await stream.write(opening("no room"))
        await stream.write(opening("no room", "a"))
        answer = asyncio.ensure_future(stream.read())
        await asyncio.wait({answer}, timeout=1.5)
        servicer.has_room.set()

        assert (await asyncio.wait_for(answer, 20)).uri == "a"
        stream.cancel()


@pytest.mark.parametrize("limit", [{"stream_write_s": 0.5}, {"max_stream_s": 0.5}])
async def test_reader_that_never_reads_is_cut_off(servicer: Servicer, limit: dict[str, float]) -> None:
    """A write that nobody takes ends the stream within the stated time, and a caller that reads later learns why."""
    async with serving(servicer, **limit) as port, connected(port) as stub:
        stream = stub.Ingest()
        await stream.write(opening("flood"))
        await until(lambda: servicer.answers > 0)
        await until(lambda: servicer.open_streams == 0)

        error = await asyncio.wait_for(ended(stream), 20)

    assert isinstance(error, DeadlineExceeded)


async def test_reason_of_a_refused_stream_arrives_while_the_caller_writes(servicer: Servicer) -> None:
    """However fast the caller sends, it reads why its stream was refused."""

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        for number in range(300):
            yield opening("refused", f"{number}" * 100)

    async with serving(servicer) as port, connected(port) as stub:
        errors = [await ended(stub.Ingest(requests())) for _ in range(20)]

    assert {(type(error), error.message) for error in errors} == {(NotFound, "collection 'refused' does not exist")}


async def test_refused_stream_that_goes_on_is_ended_in_bounded_time(servicer: Servicer) -> None:
    """A caller that never stops sending does not keep a refused stream open."""
    is_over = False

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        yield opening("refused")
        while not is_over:
            yield opening("", "x" * 1000)

    async with serving(servicer) as port, connected(port) as stub:
        await asyncio.wait_for(ended(stub.Ingest(requests())), 20)
        is_over = True


async def test_idle_stream_outlives_pings(servicer: Servicer) -> None:
    """Keepalive pings on a silent stream and on a silent connection are permitted, however many."""
    async with serving(servicer, ping_interval_s=0.05) as port, connected(port, keepalive_ms=150) as stub:
        stream = stub.Ingest()
        await stream.write(opening("echo"))
        await asyncio.sleep(6)  # forty pings; without a permit, two too many end a connection after 4 s
        await stream.write(opening("echo", "a"))

        assert (await stream.read()).uri == "a"
        stream.cancel()


@pytest.mark.more
async def test_pings_every_ten_seconds_are_permitted(servicer: Servicer) -> None:
    """Go's clients and service meshes ping every 10 s by default, on streams and on connections without calls."""
    async with serving(servicer) as port:
        options = [*channel_options(1 << 20), ("grpc.keepalive_permit_without_calls", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub: Any = ingest_pb2_grpc.IngestServiceStub(channel)
            stream = stub.Ingest()
            await stream.write(opening("echo"))
            await asyncio.sleep(65)
            await stream.write(opening("echo", "a"))
            assert (await stream.read()).uri == "a"
            stream.cancel()
            await asyncio.sleep(65)
            assert channel.get_state() is grpc.ChannelConnectivity.READY


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\xff", b"\x0a\x02\xc3\x28"])
@pytest.mark.parametrize("method", [LIST, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_undecodable_request_is_the_callers_fault(servicer: Servicer, method: str, garbage: bytes) -> None:
    """Bytes that are not a message are INVALID_ARGUMENT, without the library's words, also for health."""
    garbage = b"\x0a\xff" if method == LIST else garbage
    async with serving(servicer) as port, raw(port) as channel:
        call = channel.unary_stream(method)(garbage)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "google" not in str(caught.value.details())


async def test_undecodable_message_inside_a_stream_ends_it_with_the_reason(servicer: Servicer) -> None:
    """One broken message of a stream is a status, not a dead stream."""
    async with serving(servicer) as port, raw(port) as channel:
        good = opening("echo").SerializeToString()
        call = channel.stream_stream(INGEST)(iter([good, b"\x0a\xff", good]))
        error = await ended(call)

    assert isinstance(error, InvalidArgument)
    assert INGEST in error.message


async def test_health_is_answered_beside_full_servers(servicer: Servicer) -> None:
    """Liveness does not depend on how many streams and calls there are."""
    async with serving(servicer, max_in_flight=1, max_streams=1) as port, connected(port) as stub:
        streams = [stub.Ingest() for _ in range(70)]
        await streams[0].write(opening("echo"))
        async with open_channel(f"127.0.0.1:{port}") as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="liveness"), timeout=10
            )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for stream in streams:
            stream.cancel()
