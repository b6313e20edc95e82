import secrets
from collections.abc import AsyncIterator

import pytest

from services.stores.images import ImageStore
from services.stores.records import Collection
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
async def photos(store: ImageStore, name: str) -> AsyncIterator[Collection]:
    """An empty collection of whole pictures."""
    yield await store.create(a_collection(name))
    await store.drop(name)
