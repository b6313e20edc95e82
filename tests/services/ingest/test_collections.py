"""Collections are created for an encoder that is served, once, under a valid name."""

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from redis.asyncio import Redis

from fovea.ingest.v1 import ingest_pb2
from services.stores.records import Collection
from services.stores.recovery import Recovery
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle
from tests.support.images import encoded, plain
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

RED = encoded(plain("red"))


async def test_a_collection_has_the_space_of_its_encoder(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """What was created is what is read back, with counts and a time."""
    created = await create(ingest, name)
    assert (created.name, created.encoder, created.detector) == (name, "tiny", "")
    assert created.space
    assert created.mode == ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE
    assert created.create_time.seconds > 1_600_000_000
    read = (await ingest.GetCollection(ingest_pb2.GetCollectionRequest(name=name))).collection
    assert read == created
    listed = (await ingest.ListCollections(ingest_pb2.ListCollectionsRequest())).collections
    assert read in listed
    assert [collection.name for collection in listed] == sorted(collection.name for collection in listed)


async def test_objects_collections_take_the_only_detector(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Where one detector is served it need not be named."""
    assert (await create(ingest, name, objects=True)).detector == "tiny_detector"


async def test_the_default_models_need_not_be_named(
    stores: Stores, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A collection without encoder and detector gets those that say that they are the default, not the first by name."""
    folder = tmp_path_factory.mktemp("defaults")
    bundles = (
        tiny_image_bundle(folder / "a", "a", seed=8),
        tiny_image_bundle(folder / "b", "b", is_default=True),
        tiny_detector_bundle(folder / "c", "c"),
        tiny_detector_bundle(folder / "d", "d", is_default=True),
    )
    with encoder_process(folder / "log", *(bundle.folder for bundle in bundles)) as address:
        async with ingest_stub(stores, address) as ingest:
            created = await create(ingest, name, encoder="", objects=True)

    assert (created.encoder, created.detector) == ("b", "d")


async def test_the_default_encoder_is_suggested_for_a_former_version_of_it_only(
    stores: Stores, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A collection of the default encoder may move to its next version; one of an encoder that was chosen is left alone."""
    folder = tmp_path_factory.mktemp("versions")
    chosen = tiny_image_bundle(folder / "chosen", "chosen", seed=9).folder
    first = tiny_image_bundle(folder / "1" / "best", "best", seed=8, is_default=True).folder
    second = tiny_image_bundle(folder / "2" / "best", "best", is_default=True).folder
    with encoder_process(folder / "first", first, chosen) as address:
        async with ingest_stub(stores, address) as ingest:
            created = await create(ingest, name, encoder="")
            await create(ingest, f"{name}_chosen", encoder="chosen")
    with encoder_process(folder / "second", second, chosen) as address:
        async with ingest_stub(stores, address) as ingest:
            listed = (await ingest.ListCollections(ingest_pb2.ListCollectionsRequest())).collections

    assert created.suggested_encoder == ""
    suggested = {each.name: each.suggested_encoder for each in listed}
    assert (suggested[name], suggested[f"{name}_chosen"]) == ("best", "")


async def test_a_deleted_collection_is_gone_and_its_name_is_free(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Delete, then not found, then created anew."""
    await create(ingest, name)
    await ingest.DeleteCollection(ingest_pb2.DeleteCollectionRequest(name=name))
    for call in (
        ingest.GetCollection(ingest_pb2.GetCollectionRequest(name=name)),
        ingest.DeleteCollection(ingest_pb2.DeleteCollectionRequest(name=name)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    await create(ingest, name)


async def test_a_name_is_taken_once(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """A second collection of the same name is refused."""
    await create(ingest, name)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(ingest, name)
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"name": ""}, grpc.StatusCode.INVALID_ARGUMENT, "name"),
        ({"name": "Photos"}, grpc.StatusCode.INVALID_ARGUMENT, "name"),
        ({"name": "a" * 64}, grpc.StatusCode.INVALID_ARGUMENT, "name"),
        ({"name": "a-b; drop"}, grpc.StatusCode.INVALID_ARGUMENT, "name"),
        (
            {"encoder": ""},
            grpc.StatusCode.INVALID_ARGUMENT,
            "none of the served encoders is the default; name one that embeds images: tiny",
        ),
        ({"encoder": "none"}, grpc.StatusCode.NOT_FOUND, "none"),
        ({"encoder": "tiny_text"}, grpc.StatusCode.INVALID_ARGUMENT, "text"),
        ({"detector": "none"}, grpc.StatusCode.NOT_FOUND, "none"),
        ({"index": "MADE_UP"}, grpc.StatusCode.INVALID_ARGUMENT, "index"),
    ],
)
async def test_what_cannot_be_created_says_why(
    ingest: "IngestServiceAsyncStub", name: str, fields: dict[str, Any], code: grpc.StatusCode, words: str
) -> None:
    """Each reason has its status and one sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(ingest, **{"name": name, **fields})
    assert refused.value.code() == code
    assert words in str(refused.value.details())


async def test_a_collection_is_renamed_under_traffic(
    ingest: "IngestServiceAsyncStub", search: "SearchServiceAsyncStub", name: str
) -> None:
    """No search and no write fails while the collection that they name gets other names, and a new one its name."""
    await create(ingest, name)
    traffic = Traffic(name, [search], lambda: [ingest])
    async with traffic.running(4):
        for number in range(3):
            await traffic.past(10)
            request = ingest_pb2.UpdateCollectionRequest(
                name=name, new_name=f"{name}_{number}", display_name=f"{number}"
            )
            updated = (await ingest.UpdateCollection(request)).collection
            assert (updated.name, updated.display_name) == (f"{name}_{number}", f"{number}")
        await traffic.past(10)
    await traffic.check_all()
    assert traffic.searched > 20
    listed = (await ingest.ListCollections(ingest_pb2.ListCollectionsRequest())).collections
    assert [each.name for each in listed if each.name.startswith(name)] == [f"{name}_2"]


async def test_collections_are_listed_while_one_is_rebuilt(
    ingest: "IngestServiceAsyncStub", stores: Stores, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection whose records are being rebuilt is listed without counts, and the others with theirs."""
    await create(ingest, name)
    await create(ingest, f"{name}_b")
    await add(ingest, name, item("a", RED))
    await add(ingest, f"{name}_b", item("a", RED), item("b", RED))
    rebuild, may_go_on = Recovery._rebuild, asyncio.Event()

    async def rebuild_later(self: Recovery, collection: Collection, *, is_lost: bool) -> None:
        await may_go_on.wait()
        await rebuild(self, collection, is_lost=is_lost)

    monkeypatch.setattr(Recovery, "_rebuild", rebuild_later)
    async with Redis.from_url(stores.redis_url) as redis:
        await redis.delete(*await redis.keys(f"fovea:{{{name}:*"))

    async def listed() -> dict[str, ingest_pb2.Collection]:
        answer = await ingest.ListCollections(ingest_pb2.ListCollectionsRequest())
        return {each.name: each for each in answer.collections}

    found = await listed()
    assert (found[name].counts_unknown, found[name].image_count) == (True, 0)
    assert (found[f"{name}_b"].counts_unknown, found[f"{name}_b"].image_count) == (False, 2)
    may_go_on.set()
    async with asyncio.timeout(30):
        while (await listed())[name].counts_unknown:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
    assert (await listed())[name].image_count == 1
