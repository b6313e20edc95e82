"""A tiny encoder behind both kinds of server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.errors import Internal, InvalidArgument
from rpc.server import AsyncServer, ThreadServer
from rpc.settings import ServerSettings

SERVICE = "fovea.encoder.v1.EncoderService"


def _answer(request: encoder_pb2.EncodeRequest) -> encoder_pb2.EncodeResponse:
    if request.encoder == "bad":
        raise InvalidArgument("encoder: 'bad' is not a name")
    if request.encoder == "bug":
        raise KeyError("secret")
    if request.encoder == "fault":
        raise Internal("a fault of ours") from OSError("the true reason")
    if request.encoder == "huge":
        return encoder_pb2.EncodeResponse(space="x" * (65 << 20))
    return encoder_pb2.EncodeResponse(space=request.encoder)


class ThreadEncoder(encoder_pb2_grpc.EncoderServiceServicer):
    """Echoes the encoder's name as the space; `wait` waits until it is released."""

    def __init__(self, *bundles: encoder_pb2.EncoderInfo) -> None:
        self.bundles = bundles or (encoder_pb2.EncoderInfo(name="tiny", space="s", dimension=4),)
        self.released = threading.Event()
        self.waiting = threading.Event()

    def Encode(self, request: encoder_pb2.EncodeRequest, context: Any) -> encoder_pb2.EncodeResponse:
        """Echoes."""
        if request.encoder == "wait":
            self.waiting.set()
            self.released.wait(20)
        return _answer(request)

    def Describe(self, request: encoder_pb2.DescribeRequest, context: Any) -> encoder_pb2.DescribeResponse:
        """Its bundles."""
        return encoder_pb2.DescribeResponse(encoders=self.bundles)


class AsyncEncoder(encoder_pb2_grpc.EncoderServiceServicer):
    """The same on an event loop."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.waiting = asyncio.Event()

    async def Encode(self, request: encoder_pb2.EncodeRequest, context: Any) -> encoder_pb2.EncodeResponse:
        """Echoes."""
        if request.encoder == "wait":
            self.waiting.set()
            await self.released.wait()
        return _answer(request)

    async def Describe(self, request: encoder_pb2.DescribeRequest, context: Any) -> encoder_pb2.DescribeResponse:
        """Nothing."""
        return encoder_pb2.DescribeResponse()


@pytest.fixture
def thread_encoder() -> ThreadEncoder:
    return ThreadEncoder()


@contextmanager
def serving(encoder: ThreadEncoder, port: int = 0, **settings: float) -> Iterator[ThreadServer]:
    """A server of this encoder, on a port of its own where none is given."""
    register = partial(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, encoder)
    values = {"address": f"127.0.0.1:{port}", "max_in_flight": 1, "drain_s": 0.2} | settings
    with (
        ThreadServer(ServerSettings.model_validate(values), services=[SERVICE]) as server,
        server.offering(register, lambda: True),
    ):
        yield server
        encoder.released.set()


@pytest.fixture
def thread_server(thread_encoder: ThreadEncoder) -> Iterator[ThreadServer]:
    with serving(thread_encoder) as server:
        yield server


@pytest.fixture
async def async_encoder() -> AsyncEncoder:
    return AsyncEncoder()


@pytest.fixture
async def async_server(async_encoder: AsyncEncoder) -> AsyncIterator[AsyncServer]:
    async def is_ready() -> bool:
        return True

    register = partial(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, async_encoder)
    settings = ServerSettings(max_in_flight=1, max_time_s=0.3, drain_s=0.2)
    async with AsyncServer(settings, services=[SERVICE]) as server, server.offering(register, is_ready):
        yield server
        async_encoder.released.set()


@pytest.fixture(params=["thread", "async"])
def port(request: pytest.FixtureRequest) -> int:
    """The port of either kind of server."""
    server: ThreadServer | AsyncServer = request.getfixturevalue(f"{request.param}_server")
    return server.port


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Waits for a condition of this process."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
