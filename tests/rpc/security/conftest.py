"""The tiny encoder behind both kinds of server, with whatever protects it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeAlias

import pytest
import trustme

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.channel import open_channel
from rpc.errors import service_errors
from rpc.security.process import Security
from rpc.server import AsyncServer, ThreadServer
from rpc.settings import ServerSettings
from tests.rpc.conftest import SERVICE, AsyncEncoder, ThreadEncoder

Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[int]]
"""Takes what protects the server, and settings of it; its port is in the block."""


@asynccontextmanager
async def _threads(security: Security, **settings: object) -> AsyncIterator[int]:
    register = partial(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, ThreadEncoder())
    values = ServerSettings.model_validate({"drain_s": 0} | settings)
    with (
        ThreadServer(values, services=[SERVICE], security=security) as server,
        server.offering(register, lambda: True),
    ):
        yield server.port


@asynccontextmanager
async def _loop(security: Security, **settings: object) -> AsyncIterator[int]:
    async def is_ready() -> bool:
        return True

    register = partial(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, AsyncEncoder())
    values = ServerSettings.model_validate({"drain_s": 0} | settings)
    async with (
        AsyncServer(values, services=[SERVICE], security=security) as server,
        server.offering(register, is_ready),
    ):
        yield server.port


@pytest.fixture(params=[_threads, _loop], ids=["threads", "loop"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Starts either kind of server, and yields its port."""
    found: Serve = request.param
    return found


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


async def encode(target: str, security: Security, *, authority: str = "", name: str = "tiny") -> str:
    """Calls Encode once, over a channel of its own, and returns the space."""
    async with open_channel(target, security=security, authority=authority) as channel:
        with service_errors("encoder"):
            request = encoder_pb2.EncodeRequest(encoder=name)
            response = await encoder_pb2_grpc.EncoderServiceStub(channel).Encode(request, timeout=10)
    return response.space
