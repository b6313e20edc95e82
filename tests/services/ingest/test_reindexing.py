"""`Reindex`: a collection moves to another encoder while it is searched and written, and back."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from rpc.channel import open_channel
from services.ingest import reindexing
from services.ingest.reindexing import Copier
from services.stores.definitions import MAX_AGE_S
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle
from tests.support.images import blocks, encoded
from tests.support.processes import server_process
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item, search_stub
from tests.support.traffic import Traffic, answer, drawn

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An encoder process with two bundles of the same dimension and different spaces, and a detector."""
    folder = tmp_path_factory.mktemp("bundles")
    bundles = (
        tiny_image_bundle(folder / "tiny"),
        tiny_image_bundle(folder / "other", "other", seed=8),
        tiny_detector_bundle(folder / "tiny_detector"),
    )
    with encoder_process(folder / "log", *(bundle.folder for bundle in bundles)) as address:
        yield address


async def reindex(ingest: "IngestServiceAsyncStub", name: str, **fields: Any) -> list[ingest_pb2.ReindexResponse]:
    """Move to `other` unless something else is asked for; all progress on the way."""
    fields = fields or {"encoder": "other"}
    return [each async for each in ingest.Reindex(ingest_pb2.ReindexRequest(collection=name, **fields))]


async def all_of(call: Any) -> list[ingest_pb2.ReindexResponse]:
    return [each async for each in call]


async def encoder_of(ingest: "IngestServiceAsyncStub", name: str) -> str:
    response = await ingest.GetCollection(ingest_pb2.GetCollectionRequest(name=name))
    return response.collection.encoder


@pytest.mark.parametrize("objects", [False, True])
async def test_a_collection_moves_and_returns(
    ingest: "IngestServiceAsyncStub", search: "SearchServiceAsyncStub", name: str, root: Path, *, objects: bool
) -> None:
    """Files and kept uploads get new embeddings, regions stay, and a rollback restores the old answers exactly."""
    await create(ingest, name, objects=objects)
    for number in range(12):
        (root / f"{number}.png").write_bytes(drawn(number))
    two = encoded(blocks({"red": (0.0, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)}))
    items = [item(str(root / f"{number}.png"), n=number) for number in range(12)]
    await add(ingest, name, *items, item("sent", drawn(100)), item("two", two))
    queries = [drawn(number) for number in (0, 5, 100, 200)]
    before = [await answer(search, name, query) for query in queries]
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="two"))

    progress = await reindex(ingest, name)
    assert (progress[-1].done_count, progress[-1].total_count, progress[-1].failed_count) == (14, 14, 0)
    assert await encoder_of(ingest, name) == "other"
    after = [await answer(search, name, query) for query in queries]
    assert {space for space, _ in after}.isdisjoint({space for space, _ in before})
    if not objects:
        assert after[2][1][0] == ("sent", pytest.approx(1, abs=1e-4))  # type: ignore[comparison-overlap]
    assert await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="two")) == image

    await reindex(ingest, name, rollback=True)
    assert [await answer(search, name, query) for query in queries] == before
    assert await encoder_of(ingest, name) == "tiny"


async def test_old_embeddings_are_dropped_on_request(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """There is no way back then; a move to the space that the collection has embeds nothing."""
    await create(ingest, name)
    await add(ingest, name, item("a", drawn(1)))
    await reindex(ingest, name, encoder="other", drop_old=True)
    with pytest.raises(grpc.aio.AioRpcError, match="no former embeddings"):
        await reindex(ingest, name, rollback=True)
    assert (await reindex(ingest, name))[-1].done_count == 1


@pytest.mark.parametrize("change", ["removed", "changed"])
async def test_images_that_cannot_be_read_again_keep_the_old_embeddings(
    ingest: "IngestServiceAsyncStub", search: "SearchServiceAsyncStub", name: str, root: Path, change: str
) -> None:
    """The call fails and names one of them; nothing is changed, and after it is deleted the next call goes on."""
    await create(ingest, name)
    files = [root / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(drawn(number))
    await add(ingest, name, *(item(str(file)) for file in files))
    before = await answer(search, name, drawn(1))
    if change == "removed":
        files[1].unlink()
    else:
        files[1].write_bytes(drawn(77))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reindex(ingest, name)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert str(files[1]) in str(refused.value.details())
    assert await answer(search, name, drawn(1)) == before
    assert await encoder_of(ingest, name) == "tiny"

    await ingest.DeleteImages(ingest_pb2.DeleteImagesRequest(collection=name, uris=[str(files[1])]))
    progress = await reindex(ingest, name)
    assert progress[0].total_count == 2
    assert await encoder_of(ingest, name) == "other"


async def test_bad_requests_are_refused(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Unknown collections and encoders, encoders without images, and a rollback with an encoder."""
    await create(ingest, name)
    for fields, code in (
        ({"collection": "nothing", "encoder": "other"}, "NOT_FOUND"),
        ({"collection": name, "encoder": "nothing"}, "NOT_FOUND"),
        ({"collection": name, "encoder": "other", "rollback": True}, "INVALID_ARGUMENT"),
        ({"collection": name, "rollback": True}, "FAILED_PRECONDITION"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in ingest.Reindex(ingest_pb2.ReindexRequest(**fields)):
                pass
        assert refused.value.code().name == code


async def test_a_cancelled_call_goes_on_where_it_ended(
    ingest: "IngestServiceAsyncStub", name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller leaves amid the copying: the old embeddings are served, and the next call embeds only the rest."""
    monkeypatch.setattr(reindexing, "BATCH", 4)
    monkeypatch.setattr(reindexing, "CHUNK", 4)
    await create(ingest, name)
    await add(ingest, name, *(item(f"u{number}", drawn(number)) for number in range(40)))
    copied, copy_batch = list[int](), Copier._copy_batch

    async def counted(self: Copier, records: Any) -> int:
        count = await copy_batch(self, records)
        copied.append(count)
        await asyncio.sleep(0.05)
        return count

    monkeypatch.setattr(Copier, "_copy_batch", counted)
    call = ingest.Reindex(ingest_pb2.ReindexRequest(collection=name, encoder="other"))
    async for progress in call:
        if progress.done_count >= 12:
            break
    call.cancel()
    await asyncio.sleep(1)
    assert await encoder_of(ingest, name) == "tiny"
    assert await add(ingest, name, item("meanwhile", drawn(90)))
    first = sum(copied)
    assert first < 40
    await reindex(ingest, name)
    assert sum(copied) == 41
    assert await encoder_of(ingest, name) == "other"


async def test_metadata_that_change_on_the_way_are_not_embedded_again(
    ingest: "IngestServiceAsyncStub", name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new embedding of an image is kept where only its metadata changed since; other bytes are embedded."""
    await create(ingest, name)
    await add(ingest, name, *(item(f"u{number}", drawn(number), n=number) for number in range(6)))
    embed, require_all = Copier._embed, Copier._require_all
    embedded, changes = list[str](), [item("u1", drawn(1), n=100), item("u2", drawn(20), n=2)]

    async def noted(self: Copier, record: Any, regions: Any) -> Any:
        embedded.append(record.uri)
        return await embed(self, record, regions)

    async def changing(self: Copier) -> None:
        if changes:
            await add(ingest, name, *changes)
            changes.clear()
        await require_all(self)

    monkeypatch.setattr(Copier, "_embed", noted)
    monkeypatch.setattr(Copier, "_require_all", changing)
    await reindex(ingest, name)
    assert sorted(embedded) == ["u0", "u1", "u2", "u2", "u3", "u4", "u5"]
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="u1"))
    assert image.metadata["n"] == 100


async def test_a_collection_moves_under_traffic(
    stores: Stores, encoder: str, ingest: "IngestServiceAsyncStub", name: str, tmp_path: Path
) -> None:
    """No request fails, no answer mixes spaces, what was written is found and what was deleted is not; back as well."""
    await create(ingest, name)
    async with (
        ingest_stub(stores, encoder, uploads=tmp_path / "uploads") as second,
        search_stub(stores, encoder) as one,
        search_stub(stores, encoder) as other,
    ):
        traffic = Traffic(name, [one, other], lambda: [ingest, second])
        first = [item(f"first/{number}", drawn(9_000_000 + number)) for number in range(150)]
        await add(ingest, name, *first)
        traffic.stored.update({each.uri: 9_000_000 + number for number, each in enumerate(first)})
        async with traffic.running(8):
            await asyncio.sleep(0.5)
            await reindex(ingest, name)
            async with asyncio.timeout(2 * MAX_AGE_S):  # another process may know the definition of a second ago
                while await encoder_of(second, name) != "other":
                    await traffic.past(1)
            await traffic.past(20)
            await reindex(ingest, name, rollback=True)
            await asyncio.sleep(0.5)
        assert await encoder_of(ingest, name) == "tiny"
        await traffic.check_all()
        assert traffic.searched > 50


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.more)])
async def test_a_killed_process_leaves_a_move_that_goes_on(
    stores: Stores, encoder: str, name: str, tmp_path: Path, count: int
) -> None:
    """The ingest process dies by kill -9 amid the move, several times: nothing is lost, and the next call goes on."""
    uploads = tmp_path / "uploads"
    urls = {"milvus_uri": stores.milvus_uri, "redis_url": stores.redis_url}
    settings: dict[str, Any] = {"encoders": [encoder], "uploads": str(uploads), **urls}
    async with ingest_stub(stores, encoder, uploads=uploads) as ingest, search_stub(stores, encoder) as search:
        await create(ingest, name)
        traffic = Traffic(name, [search], lambda: [ingest])
        first = [item(f"first/{number}", drawn(9_000_000 + number)) for number in range(count)]
        await add(ingest, name, *first)
        traffic.stored.update({each.uri: 9_000_000 + number for number, each in enumerate(first)})
        async with traffic.running(8):
            for delay_s in (0.05, 0.2, 0.5, 2.0):
                with server_process(tmp_path, "ingest", **settings) as server:
                    async with open_channel(server.address) as channel:
                        request = ingest_pb2.ReindexRequest(collection=name, encoder="other")
                        call = ingest_pb2_grpc.IngestServiceStub(channel).Reindex(request)
                        reading = asyncio.create_task(all_of(call))
                        await asyncio.sleep(delay_s)
                        server.process.send_signal(signal.SIGKILL)
                        await asyncio.wait([reading])
                        reading.exception()
            async with asyncio.timeout(60):
                while await encoder_of(ingest, name) != "other":
                    with suppress(grpc.aio.AioRpcError):  # the lock of the dead one has to expire
                        await reindex(ingest, name)
                    await asyncio.sleep(0.2)
        await traffic.check_all()
