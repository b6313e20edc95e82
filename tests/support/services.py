"""Fovea's own servers for tests: encoder processes as operators start them, search and ingest inside the test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2_grpc
from rpc.channel import open_channel
from services.ingest.__main__ import ingest_server
from services.ingest.settings import IngestSettings
from services.search.__main__ import search_server
from services.search.settings import SearchSettings
from services.stores.images import ImageStore
from tests.support.processes import server_process

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Stores:
    """Where Milvus and Redis answer."""

    milvus_uri: str
    redis_url: str


@contextmanager
def encoder_process(folder: Path, *bundles: Path, **settings: str) -> Iterator[str]:
    """The address of an encoder process that serves `bundles`; its log goes into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"bundles": [str(bundle) for bundle in bundles], "threads": 1, **settings}
    with server_process(folder, "encoder", **values) as server:
        try:
            yield server.address
        finally:
            server.process.kill()  # nothing waits for it, so it need not drain


@asynccontextmanager
async def search_stub(stores: Stores, *encoders: str, **settings: Any) -> "AsyncIterator[SearchServiceAsyncStub]":
    """A client of a search server of the test's own."""
    values = SearchSettings(milvus_uri=stores.milvus_uri, redis_url=stores.redis_url, encoders=encoders, **settings)
    async with search_server(values) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        yield search_pb2_grpc.SearchServiceStub(channel)


@asynccontextmanager
async def ingest_stub(stores: Stores, *encoders: str, **settings: Any) -> "AsyncIterator[IngestServiceAsyncStub]":
    """A client of an ingest server of the test's own."""
    values = IngestSettings(milvus_uri=stores.milvus_uri, redis_url=stores.redis_url, encoders=encoders, **settings)
    async with ingest_server(values) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        yield ingest_pb2_grpc.IngestServiceStub(channel)


async def create(
    ingest: "IngestServiceAsyncStub",
    name: str,
    *,
    encoder: str = "tiny",
    objects: bool = False,
    detector: str = "",
    index: str = "",
) -> ingest_pb2.Collection:
    """A new collection of the bundle `tiny`, by default."""
    mode = ingest_pb2.COLLECTION_MODE_OBJECTS if objects else ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE
    collection = ingest_pb2.Collection(name=name, encoder=encoder, mode=mode, detector=detector, index=index)
    return (await ingest.CreateCollection(ingest_pb2.CreateCollectionRequest(collection=collection))).collection


async def drop_collections(stores: Stores, prefix: str) -> None:
    """Drops the collections whose names begin so."""
    store = await ImageStore.open(stores.milvus_uri, stores.redis_url)
    try:
        for collection in await store.collections():
            if collection.name.startswith(prefix):
                await store.drop(collection.name)
    finally:
        await store.close()


async def add(ingest: "IngestServiceAsyncStub", name: str, *items: ingest_pb2.Item) -> list[ingest_pb2.IngestResponse]:
    """One answer for each item, in the items' order."""

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        yield ingest_pb2.IngestRequest(collection=name)
        for item in items:
            yield ingest_pb2.IngestRequest(item=item)

    answers: dict[str, list[ingest_pb2.IngestResponse]] = {}
    async for answer in ingest.Ingest(requests()):
        answers.setdefault(answer.uri, []).append(answer)
    return [answers[item.uri].pop(0) for item in items]


def item(uri: str, image: bytes | None = None, **metadata: Any) -> ingest_pb2.Item:
    """An item with its metadata."""
    message = ingest_pb2.Item(uri=uri, image=image)
    message.metadata.update(metadata)
    return message
