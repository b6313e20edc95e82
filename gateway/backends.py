"""The services behind the gateway: their stubs, and the calls that are made to them for one HTTP request."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

from fastapi import Depends, Request
from grpc.aio import UnaryUnaryMultiCallable
from grpc_health.v1 import health_pb2_grpc

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2_grpc
from gateway.settings import GatewaySettings
from rpc.channel import open_channel
from rpc.deadline import Deadline
from rpc.directory import EncoderDirectory
from rpc.errors import service_errors
from rpc.request_id import REQUEST_ID
from rpc.security.access import AUTHORIZATION
from rpc.security.process import Security
from rpc.tracing import propagated

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class Backends:
    """A stub of each service; `health` has those of the health services, by the name of their server."""

    search: "SearchServiceAsyncStub"
    ingest: "IngestServiceAsyncStub"
    health: Mapping[str, health_pb2_grpc.HealthStub]
    directory: EncoderDirectory


@dataclass(frozen=True, slots=True)
class BackendCall:
    """What the gRPC calls for one HTTP request share: the stubs, a deadline, the request's id, and who sent it."""

    backends: Backends
    deadline: Deadline
    request_id: str
    authorization: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata: the services log the id too, and check the caller's token, never the gateway's own."""
        return ((REQUEST_ID, self.request_id), (AUTHORIZATION, self.authorization), *propagated())

    async def unary(
        self, peer: str, method: UnaryUnaryMultiCallable[_Request, _Response], request: _Request
    ) -> _Response:
        """Calls a method of the service named `peer`; raises the ServiceError that it answered."""
        with service_errors(peer):
            return await method(request, timeout=self.deadline.left_s(), metadata=self.metadata)

    async def ingest(
        self, collection: str, items: Iterable[ingest_pb2.Item]
    ) -> AsyncIterator[ingest_pb2.IngestResponse]:
        """Streams items to the ingest service; yields one response for each, in order of completion."""

        async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
            # The collection has a message of its own, because there may be no items. Items are pulled one at a time,
            # as the stream's flow control allows, so a million of them is never in memory at once.
            yield ingest_pb2.IngestRequest(collection=collection)
            for item in items:
                yield ingest_pb2.IngestRequest(item=item)

        stream = self.backends.ingest.Ingest(requests(), timeout=self.deadline.left_s(), metadata=self.metadata)
        try:
            with service_errors("ingest"):
                async for response in stream:
                    yield response
        finally:
            stream.cancel()


@asynccontextmanager
async def open_backends(settings: GatewaySettings, security: Security) -> AsyncIterator[Backends]:
    """Lazily connected channels to all services; closed at the end of the block."""
    async with AsyncExitStack() as stack:
        search = await stack.enter_async_context(open_channel(settings.search, security=security))
        ingest = await stack.enter_async_context(open_channel(settings.ingest, security=security))
        directory = EncoderDirectory(settings.encoders, security)
        stack.push_async_callback(directory.close)
        await directory.start()
        yield Backends(
            search=search_pb2_grpc.SearchServiceStub(search),
            ingest=ingest_pb2_grpc.IngestServiceStub(ingest),
            health={"search": health_pb2_grpc.HealthStub(search), "ingest": health_pb2_grpc.HealthStub(ingest)},
            directory=directory,
        )


def _call(request: Request) -> BackendCall:
    settings = cast("GatewaySettings", request.app.state.settings)
    deadline = Deadline.after(settings.request_timeout_s)
    state = request.state
    return BackendCall(request.app.state.backends, deadline, state.request_id, state.authorization)


CallOf = Annotated[BackendCall, Depends(_call)]
