"""A collection that outgrows its index gets another one while it is searched and written."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.detection import Detection
from fovea.ingest.v1 import ingest_pb2
from services.ingest.growing import IndexGrowth, build_index
from services.stores import sizes
from services.stores.images import ImageStore
from services.stores.milvus import indexes
from services.stores.records import CollectionMode
from tests.services.stores.making import a_collection, find, new_image, opened, put, unit_embeddings
from tests.support.services import Stores, add, create, ingest_stub, item, search_stub
from tests.support.traffic import Traffic, drawn

ENGINES = [
    pytest.param("milvus_lite_uri", id="lite"),
    pytest.param("milvus_standalone_uri", id="standalone", marks=pytest.mark.standalone),
]
OTHER_INDEX = {"Milvus Lite": "IVF_FLAT", "Milvus": "HNSW"}
BY_SIZE = {"Milvus Lite": "FLAT", "Milvus": "HNSW"}


@pytest.fixture(params=ENGINES)
def stores(request: pytest.FixtureRequest, redis_url: str) -> Stores:
    return Stores(str(request.getfixturevalue(request.param)), redis_url)


@pytest.fixture
async def store(stores: Stores, name: str) -> AsyncIterator[ImageStore]:
    async with opened(stores.milvus_uri, stores.redis_url) as store:
        yield store


async def test_an_index_is_built_under_traffic(stores: Stores, encoder: str, name: str, tmp_path: Path) -> None:
    """No search and no write fails, what is acknowledged is found, and only what is served is kept."""
    async with (
        opened(stores.milvus_uri, stores.redis_url) as store,
        ingest_stub(stores, encoder, uploads=tmp_path / "uploads") as ingest,
        search_stub(stores, encoder) as one,
        search_stub(stores, encoder) as other,
    ):
        await create(ingest, name)
        assert (await store.get(name)).index == "FLAT"
        traffic = Traffic(name, [one, other], lambda: [ingest])
        first = [item(f"first/{number}", drawn(9_000_000 + number)) for number in range(150)]
        await add(ingest, name, *first)
        traffic.stored.update({each.uri: 9_000_000 + number for number, each in enumerate(first)})
        async with traffic.running(4):
            await traffic.past(5)
            growth = IndexGrowth(store, period_s=60)
            await build_index(store, await store.get(name), OTHER_INDEX[store.sizes.engine])
            await traffic.past(20)
            await growth.look()
        await traffic.check_all()
        served = await store.get(name)
        assert served.index == OTHER_INDEX[store.sizes.engine]
        assert served.index_by_size
        assert (await store.serving.stored(served)).stores == (served.store_name,)


async def test_a_collection_grows_by_its_rows(store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than FLAT is meant for: a server builds the next index, with regions and metadata; a named one stays."""
    monkeypatch.setattr(indexes, "FLAT_ROWS", 100)
    named = f"{name}_named"
    embeddings = unit_embeddings(240)
    regions = (Detection((0.0, 0.0, 0.5, 0.5), "cat", 0.9, 1), Detection((0.5, 0.5, 1.0, 1.0), "dog", 0.8, 2))
    for each, index in ((name, ""), (named, "FLAT")):
        await store.create(a_collection(each, CollectionMode.OBJECTS, index=index))
        images = [new_image(f"{n}", embeddings[2 * n : 2 * n + 2], {"n": n}, regions=regions) for n in range(120)]
        await put(store, each, *images)
    before = await find(store, name, embeddings[7], 20)

    await IndexGrowth(store, period_s=60).look()

    assert (await store.get(name)).index == BY_SIZE[store.sizes.engine]
    assert (await store.get(named)).index == "FLAT"
    after = await find(store, name, embeddings[7], 20)
    assert [(hit.record, hit.region) for hit in after.hits] == [(hit.record, hit.region) for hit in before.hits]
    assert (await store.counts(name)).region_count == 240


async def test_a_build_that_died_is_finished_or_removed(store: ImageStore, name: str) -> None:
    """What a build left that was cut off is used by the next one; what is left of an old index is deleted."""
    await store.create(a_collection(name))
    await put(store, name, *(new_image(f"{n}", each) for n, each in enumerate(unit_embeddings(20))))
    collection = await store.get(name)
    async with store.moves.open(
        name, space=collection.space, encoder="encoder", dimension=16, index=OTHER_INDEX[store.sizes.engine]
    ):
        pass  # nothing is copied, and nothing is switched
    assert len((await store.serving.stored(collection)).stores) == 2

    await IndexGrowth(store, period_s=60).look()

    assert (await store.serving.stored(collection)).stores == (collection.store_name,)
    assert (await store.counts(name)).image_count == 20


async def test_it_is_said_when_a_server_is_due(
    stores: Stores, store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An embedded Milvus that holds too much is named in the log, once, and beside the collections; a server never is."""
    await store.create(a_collection(name))
    await put(store, name, *(new_image(f"{n}", each) for n, each in enumerate(unit_embeddings(12))))
    monkeypatch.setattr(sizes, "MOST_EMBEDDED_ROWS", 10)
    growth = IndexGrowth(store, period_s=60)
    with caplog.at_level(logging.WARNING, logger="services.ingest.growing"):
        await growth.look()
        await growth.look()
    due = [record.message for record in caplog.records if "--milvus" in record.message]
    async with ingest_stub(stores) as ingest:
        listed = await ingest.ListCollections(ingest_pb2.ListCollectionsRequest())
    assert len(due) == len(listed.warnings) == (1 if store.sizes.engine == "Milvus Lite" else 0)
