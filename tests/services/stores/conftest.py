import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.stores.images import ImageStore
from services.stores.records import Collection
from testbed.servers import EmbeddedServer, embedded_redis
from tests.services.stores.making import a_collection, opened

ENGINES = [
    pytest.param("milvus_lite_uri", id="lite"),
    pytest.param("milvus_standalone_uri", id="standalone", marks=pytest.mark.standalone),
]


@pytest.fixture(params=ENGINES)
def milvus_uri(request: pytest.FixtureRequest) -> str:
    """Each engine in turn: what holds for one has to hold for the other."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def store(milvus_uri: str, redis_url: str) -> AsyncIterator[ImageStore]:
    async with opened(milvus_uri, redis_url) as store:
        yield store


@pytest.fixture
def name() -> str:
    """A collection name that no other test has."""
    return f"c{secrets.token_hex(6)}"


@pytest.fixture
async def whole_images(store: ImageStore, name: str) -> AsyncIterator[Collection]:
    """An empty collection of whole images."""
    yield await store.create(a_collection(name))
    await store.drop(name)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A Redis that may be killed."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = embedded_redis(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def fragile(milvus_uri: str, redis: EmbeddedServer, name: str) -> AsyncIterator[ImageStore]:
    """A store with an empty collection `name` on a Redis that may be killed."""
    async with opened(milvus_uri, redis.url) as store:
        await store.create(a_collection(name))
        yield store
        await store.drop(name)
