"""Stores that go away and come back: nothing acknowledged is lost, nothing hangs, and both services recover."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from fovea.search.v1 import search_pb2
from testbed.servers import EmbeddedServer, embedded_milvus, embedded_redis
from tests.support.images import encoded, plain
from tests.support.services import Stores, add, create, ingest_stub, item, search_stub

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

RED, GREEN = encoded(plain("red")), encoded(plain("green"))


@dataclass(frozen=True, slots=True)
class Fovea:
    """Both services over stores that the test may kill."""

    milvus: EmbeddedServer
    redis: EmbeddedServer
    ingest: "IngestServiceAsyncStub"
    search: "SearchServiceAsyncStub"

    async def hits(self, name: str) -> list[str]:
        """The uris that a red image finds."""
        parts = [search_pb2.QueryPart(image=RED)]
        response = await self.search.Search(search_pb2.SearchRequest(collection=name, parts=parts), timeout=10)
        return [hit.uri for hit in response.hits]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    folders = [tmp_path / name for name in ("milvus", "redis")]
    for folder in folders:
        folder.mkdir()
    milvus, redis = embedded_milvus(folders[0]), embedded_redis(folders[1])
    milvus.start()
    redis.start()
    yield milvus, redis
    milvus.kill()
    redis.kill()


@pytest.fixture
async def fovea(servers: tuple[EmbeddedServer, EmbeddedServer], encoder: str) -> AsyncIterator[Fovea]:
    stores = Stores(servers[0].url, servers[1].url)
    async with ingest_stub(stores, encoder, item_time_s=8) as ingest, search_stub(stores, encoder) as search:
        yield Fovea(*servers, ingest, search)


async def test_redis_away(fovea: Fovea, name: str) -> None:
    """Searches go on with a warning, images are refused with UNAVAILABLE, and both work again by themselves."""
    await create(fovea.ingest, name)
    await add(fovea.ingest, name, item("red", RED, n=1))
    fovea.redis.kill()

    request = search_pb2.SearchRequest(collection=name, parts=[search_pb2.QueryPart(image=RED)])
    response = await fovea.search.Search(request, timeout=10)
    assert [(hit.uri, dict(hit.metadata)) for hit in response.hits] == [("red", {"n": 1})]
    assert response.warnings
    assert await ingest_code(fovea, name) == grpc.StatusCode.UNAVAILABLE.value[0]

    await asyncio.to_thread(fovea.redis.start)
    await until_answered(lambda: add(fovea.ingest, name, item("green", GREEN)))
    assert await fovea.hits(name) == ["red", "green"]


async def test_milvus_away(fovea: Fovea, name: str) -> None:
    """Everything is UNAVAILABLE in time, nothing acknowledged is lost, and both work again by themselves."""
    await create(fovea.ingest, name)
    await add(fovea.ingest, name, item("red", RED))
    fovea.milvus.kill()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await fovea.hits(name)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert await ingest_code(fovea, name) == grpc.StatusCode.UNAVAILABLE.value[0]

    await asyncio.to_thread(fovea.milvus.start)
    await until_answered(lambda: fovea.hits(name))
    assert await fovea.hits(name) == ["red"]
    await until_answered(lambda: add(fovea.ingest, name, item("green", GREEN)))
    assert await fovea.hits(name) == ["red", "green"]


async def ingest_code(fovea: Fovea, name: str) -> int:
    """How an ingest is refused: item by item, or as a whole once the service says that it is not ready."""
    try:
        (answer,) = await add(fovea.ingest, name, item("green", GREEN))
    except grpc.aio.AioRpcError as error:
        code: int = error.code().value[0]
    else:
        code = answer.error.code
    return code


async def until_answered(call: Callable[[], Awaitable[object]]) -> None:
    """Calls again while nobody is ready to answer."""
    async with asyncio.timeout(60):
        while True:
            if await is_answered(call):
                return
            await asyncio.sleep(0.1)


async def is_answered(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True
