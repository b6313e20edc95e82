"""The services behind the gateway, and what one request may spend on them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request
from grpc_health.v1 import health_pb2_grpc

from fovea.ingest.v1 import ingest_pb2_grpc
from fovea.search.v1 import search_pb2_grpc
from gateway.settings import GatewaySettings
from rpc.channel import open_channel
from rpc.deadline import Deadline
from rpc.directory import EncoderDirectory

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Backends:
    """One stub for each service behind; `health` by the service's name."""

    search: "SearchServiceAsyncStub"
    ingest: "IngestServiceAsyncStub"
    health: Mapping[str, health_pb2_grpc.HealthStub]
    directory: EncoderDirectory


@dataclass(frozen=True, slots=True)
class Call:
    """What every call made for one HTTP request carries: the time that is left, and the request's id."""

    deadline: Deadline
    request_id: str

    @property
    def timeout_s(self) -> float:
        """Seconds left; DeadlineExceeded when there are none."""
        return self.deadline.left_s()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata, by which the services' log lines can be found."""
        return (("x-request-id", self.request_id),)


@asynccontextmanager
async def open_backends(settings: GatewaySettings) -> AsyncIterator[Backends]:
    """Lazily connected channels to everything behind; closed at the end of the block."""
    async with AsyncExitStack() as stack:
        search = await stack.enter_async_context(open_channel(settings.search))
        ingest = await stack.enter_async_context(open_channel(settings.ingest))
        directory = EncoderDirectory(settings.encoders)
        stack.push_async_callback(directory.close)
        await directory.start()
        yield Backends(
            search=search_pb2_grpc.SearchServiceStub(search),
            ingest=ingest_pb2_grpc.IngestServiceStub(ingest),
            health={
                "search": health_pb2_grpc.HealthStub(search),
                "ingest": health_pb2_grpc.HealthStub(ingest),
            },
            directory=directory,
        )


def _backends(request: Request) -> Backends:
    return cast("Backends", request.app.state.backends)


def _call(request: Request) -> Call:
    settings = cast("GatewaySettings", request.app.state.settings)
    return Call(Deadline.after(settings.request_timeout_s), request.state.request_id)


BackendsOf = Annotated[Backends, Depends(_backends)]
CallOf = Annotated[Call, Depends(_call)]
