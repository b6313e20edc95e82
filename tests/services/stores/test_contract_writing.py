"""What is written: once, by version, findable when acknowledged."""

import asyncio
import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from domain.detection import Detection
from rpc.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, ServiceError
from services.stores import definitions
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, Counts, NewMetadata, PutStatus, image_id_of
from testbed.servers import EmbeddedServer
from tests.services.stores.making import a_collection, find, new_image, opened, put, soon, unit_embeddings, uris

NASTY = [
    'it\'s "quoted"',
    "back\\slash\\",
    "new\nline\r\n\ttab",
    "a' or key != '",
    "üñ漢😀\u2028",
    "%_{}$",
    "\x00\x01\x7f",
    " ",
]


async def test_put_images_are_found_with_their_records(store: ImageStore, whole_images: Collection) -> None:
    """An image comes back with what was put, and its own embedding finds it with cosine 1."""
    embeddings = unit_embeddings(20)
    statuses = await put(store, whole_images.name, *(new_image(f"p/{i}", embeddings[i], {"i": i}) for i in range(20)))

    assert statuses == [PutStatus.ADDED] * 20
    hit = (await find(store, whole_images.name, embeddings[7])).hits[0]
    assert hit.record.uri == "p/7"
    assert hit.record.image_id == image_id_of("p/7")
    assert hit.record.metadata == {"i": 7}
    assert (hit.record.width_px, hit.record.height_px) == (640, 480)
    assert hit.region is None
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    assert await store.counts(whole_images.name) == Counts(20, 20)


async def test_rerun_changes_nothing(store: ImageStore, whole_images: Collection) -> None:
    """The same images again are UNCHANGED, and the counts stay."""
    images = [new_image(f"p/{i}", embedding) for i, embedding in enumerate(unit_embeddings(5))]
    await put(store, whole_images.name, *images)

    assert await put(store, whole_images.name, *images) == [PutStatus.UNCHANGED] * 5
    assert await store.counts(whole_images.name) == Counts(5, 5)


async def test_changed_bytes_replace_the_old_version(store: ImageStore, whole_images: Collection) -> None:
    """After an update the image is found where it is now, and nowhere else."""
    old, new = unit_embeddings(2)
    await put(store, whole_images.name, new_image("p", old, content="old"))

    assert await put(store, whole_images.name, new_image("p", new, content="new")) == [PutStatus.UPDATED]
    found = await find(store, whole_images.name, np.stack([old, new]))
    assert [hit.query_position for hit in found.hits] == [1]
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert await store.counts(whole_images.name) == Counts(1, 1)


async def test_changed_metadata_are_an_update(store: ImageStore, whole_images: Collection) -> None:
    """Other metadata with the same bytes replace the old ones, also for filters."""
    [embedding] = unit_embeddings(1)
    await put(store, whole_images.name, new_image("p", embedding, {"colour": "red"}))

    assert await put(store, whole_images.name, new_image("p", embedding, {"colour": "blue"})) == [PutStatus.UPDATED]
    assert await uris(store, whole_images.name, embedding, filter="colour = 'red'") == []
    assert await uris(store, whole_images.name, embedding, filter="colour = 'blue'") == ["p"]


async def test_lookup_knows_what_lives(store: ImageStore, whole_images: Collection) -> None:
    """Before encoding, the store tells which images it has already, with their bytes' hash and metadata."""
    image = new_image("p", unit_embeddings(1)[0], {"a": 1})
    await put(store, whole_images.name, image)

    known, unknown, again = await store.lookup(whole_images.name, ["p", "q", "p"])
    assert known is not None
    assert (known.uri, known.sha256, known.metadata, known.decoder_revision) == ("p", image.sha256, {"a": 1}, 1)
    assert (unknown, again) == (None, known)


async def test_objects_keep_their_regions(store: ImageStore, name: str) -> None:
    """An image of two objects is one image and two regions, each with box, label and score."""
    await store.create(a_collection(name, CollectionMode.OBJECTS))
    dog, cat = unit_embeddings(2)
    regions = [Detection((0.1, 0.2, 0.5, 0.6), "dog", 0.9, 16), Detection((0.5, 0.5, 1.0, 1.0), "cat", 0.8, 15)]
    await put(store, name, new_image("pets", np.stack([dog, cat]), regions=regions))

    hit = (await find(store, name, cat)).hits[0]
    assert hit.region is not None
    assert hit.region.label == "cat"
    assert hit.region.box == pytest.approx((0.5, 0.5, 1.0, 1.0))
    assert await store.counts(name) == Counts(1, 2)
    stored = await store.image(name, image_id_of("pets"))
    assert [region.label for region in stored.regions] == ["dog", "cat"]
    assert stored.embeddings == pytest.approx(np.stack([dog, cat]), abs=1e-6)
    await store.drop(name)


async def test_images_without_objects_are_counted_apart(store: ImageStore, name: str) -> None:
    """A whole image does not count among regions of objects, through new metadata, another content and deletion."""
    await store.create(a_collection(name, CollectionMode.OBJECTS))
    blank, dog = unit_embeddings(2)
    # What the metadata say is the caller's, and counts for nothing.
    empty = [new_image(uri, blank, {"lacks_objects": True}) for uri in ("a", "b")]
    found = new_image("c", dog, {"lacks_objects": True}, regions=[Detection((0.1, 0.2, 0.5, 0.6), "dog", 0.9, 16)])
    await put(store, name, *empty, found)
    assert await store.counts(name) == Counts(3, 1, without_objects_count=2)

    await store.put(name, [NewMetadata("a", empty[0].sha256, {"year": 2024})], soon())
    assert await store.counts(name) == Counts(3, 1, without_objects_count=2)
    await put(store, name, new_image("b", dog, regions=found.regions))
    assert await store.counts(name) == Counts(3, 2, without_objects_count=1)
    await store.delete(name, [image_id_of("a")], soon())
    assert await store.counts(name) == Counts(2, 2)
    await store.drop(name)


async def test_nasty_texts_survive(store: ImageStore, whole_images: Collection) -> None:
    """Uris and metadata are kept and matched character by character."""
    [embedding] = unit_embeddings(1)
    metadata = {text: {"text": text, "ключ": [text, {"a": None}]} for text in NASTY}
    uri_of = {text: f"uri {text}".replace("\0", "") for text in NASTY}
    await put(store, whole_images.name, *(new_image(uri_of[text], embedding, metadata[text]) for text in NASTY))

    for text, uri in uri_of.items():
        record = (await store.image(whole_images.name, image_id_of(uri))).record
        assert (record.uri, record.metadata) == (uri, metadata[text])
        quoted, quoted_uri = (each.replace("\\", "\\\\").replace('"', '\\"') for each in (text, uri))
        assert await store.ids_matching(whole_images.name, f'text = "{quoted}"') == [record.image_id]
        assert await store.ids_matching(whole_images.name, f'$uri = "{quoted_uri}"') == [record.image_id]


async def test_bad_images_fail_alone(store: ImageStore, whole_images: Collection) -> None:
    """What cannot be stored is refused with a sentence, and its neighbours are stored."""
    [good] = unit_embeddings(1)
    nan = good.copy()
    nan[3] = np.nan
    results = await store.put(
        whole_images.name,
        [
            new_image("nan", nan),
            new_image("long", good * 2),
            new_image("short", good[:5]),
            new_image("", good),
            new_image("x" * 5000, good),
            new_image("half a pair \ud800", good),
            new_image("nul \0", good),
            new_image("nan metadata", good, {"a": float("nan")}),
            new_image("much metadata", good, {"a": "x" * 20_000}),
            new_image("no region", good, regions=()),
            new_image("good", good),
        ],
        soon(),
    )

    assert [type(result.error) for result in results[:-1]] == [InvalidArgument] * 10
    assert results[-1].status is PutStatus.ADDED
    assert await uris(store, whole_images.name, good) == ["good"]


async def test_one_batch_may_hold_a_uri_twice(store: ImageStore, whole_images: Collection) -> None:
    """The later of two images with one uri wins, and only one version lives."""
    first, second = unit_embeddings(2)
    statuses = await put(
        store, whole_images.name, new_image("p", first, content="1"), new_image("p", second, content="2")
    )

    assert statuses == [PutStatus.ADDED, PutStatus.UPDATED]
    assert await store.counts(whole_images.name) == Counts(1, 1)
    assert (await find(store, whole_images.name, second)).hits[0].score == pytest.approx(1.0, abs=1e-5)


async def test_two_writers_of_one_uri_leave_one_version(
    store: ImageStore, whole_images: Collection, milvus_uri: str, redis_url: str
) -> None:
    """The caller that loses gets an error; never do two versions live."""
    embeddings = unit_embeddings(8)
    async with opened(milvus_uri, redis_url) as other:
        results = await asyncio.gather(
            *(
                (store, other)[i % 2].put(whole_images.name, [new_image("p", embedding, content=f"{i}")], soon())
                for i, embedding in enumerate(embeddings)
            )
        )

    outcomes = [result for [result] in results]
    assert any(result.status is not None for result in outcomes)
    assert all(result.status is not None or isinstance(result.error, Aborted) for result in outcomes)
    assert await store.counts(whole_images.name) == Counts(1, 1)
    assert await uris(store, whole_images.name, embeddings) == ["p"]


async def test_deleted_images_are_gone(store: ImageStore, whole_images: Collection) -> None:
    """Delete counts what was there; the image is not found, not listed, not readable, and can be put again."""
    embeddings = unit_embeddings(3)
    await put(store, whole_images.name, *(new_image(f"p/{i}", embeddings[i]) for i in range(3)))
    deleted = image_id_of("p/1")

    assert (await store.delete(whole_images.name, [deleted, deleted, "f" * 32, "no id"], soon())).image_count == 1
    assert (await store.delete(whole_images.name, [deleted], soon())).image_count == 0
    assert "p/1" not in await uris(store, whole_images.name, embeddings[1])
    assert await store.counts(whole_images.name) == Counts(2, 2)
    with pytest.raises(NotFound):
        await store.image(whole_images.name, deleted)
    assert await put(store, whole_images.name, new_image("p/1", embeddings[1])) == [PutStatus.ADDED]
    assert await uris(store, whole_images.name, embeddings[1], limit=1) == ["p/1"]


async def test_collections_are_kept_apart(store: ImageStore, whole_images: Collection, name: str) -> None:
    """An id of another collection is unknown here, and its images are not found here."""
    await store.create(a_collection(f"{name}b"))
    [embedding] = unit_embeddings(1)
    await put(store, f"{name}b", new_image("p", embedding))

    assert await uris(store, whole_images.name, embedding) == []
    assert (await store.delete(whole_images.name, [image_id_of("p")], soon())).image_count == 0
    with pytest.raises(NotFound):
        await store.image(whole_images.name, image_id_of("p"))
    assert await uris(store, f"{name}b", embedding) == ["p"]
    await store.drop(f"{name}b")


async def test_collections_are_created_listed_and_dropped(store: ImageStore, name: str) -> None:
    """A definition comes back as it was made; what is dropped no longer exists, and its name is free for an empty one."""
    created = await store.create(a_collection(name))

    assert await store.get(name) == created
    assert created in await store.collections()
    with pytest.raises(AlreadyExists):
        await store.create(a_collection(name))
    await put(store, name, new_image("p", unit_embeddings(1)[0]))
    await store.drop(name)
    with pytest.raises(NotFound):
        await store.get(name)
    with pytest.raises(NotFound):
        await store.drop(name)
    await store.create(a_collection(name))
    assert await store.counts(name) == Counts(0, 0)
    assert await uris(store, name, unit_embeddings(1)) == []
    await store.drop(name)


async def test_a_drop_under_traffic_is_not_found(
    store: ImageStore, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers that still use a collection while it is dropped get NOT_FOUND, and nothing is rebuilt."""
    embedding = unit_embeddings(1)[0]
    await store.create(a_collection(name))
    await put(store, name, new_image("p", embedding))
    running = asyncio.Semaphore(0)

    async def use(number: int) -> ServiceError:
        try:
            for round_number in itertools.count():
                await put(store, name, new_image(f"p/{number}", embedding, content=f"{round_number}"))
                running.release()
                await store.counts(name)
                await uris(store, name, embedding)
        except ServiceError as error:
            return error
        raise AssertionError

    users = [asyncio.create_task(use(number)) for number in range(8)]
    for _ in range(16):
        await running.acquire()
    await store.drop(name)
    errors = await asyncio.gather(*users)

    assert [type(error) for error in errors] == [NotFound] * 8, errors
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("step", ["write", "commit"])
async def test_a_drop_within_a_put_is_silent(  # noqa: PLR0917 - each is a fixture
    store: ImageStore,
    name: str,
    milvus_uri: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    """Another process drops the collection before the rows are written, or before the old ones are deleted."""
    monkeypatch.setattr(definitions, "MAX_AGE_S", 60.0)
    old, new = unit_embeddings(2)
    await store.create(a_collection(name))
    await put(store, name, new_image("p", old, content="old"))
    commit, write = store._catalog.commit, store._rows.add

    async with opened(milvus_uri, redis_url) as other:

        async def drop_and_write(*args: Any) -> None:
            await other.drop(name)
            await write(*args)

        async def commit_and_drop(*args: Any) -> dict[str, bool]:
            committed = await commit(*args)
            await other.drop(name)
            return committed

        if step == "write":
            monkeypatch.setattr(store._rows, "add", drop_and_write)
            with pytest.raises(NotFound):
                await put(store, name, new_image("p", new, content="new"))
        else:
            monkeypatch.setattr(store._catalog, "commit", commit_and_drop)
            assert await put(store, name, new_image("p", new, content="new")) == [PutStatus.UPDATED]

    assert caplog.messages == []


async def test_a_redis_that_is_lost_within_a_put_is_named(
    fragile: ImageStore,
    redis: EmbeddedServer,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rows that cannot be deleted because Redis lost the collection are left to the sweep, with the cause."""
    old, new = unit_embeddings(2)
    await put(fragile, name, new_image("p", old, content="old"))
    commit = fragile._catalog.commit

    async def commit_and_lose(*args: Any) -> dict[str, bool]:
        committed = await commit(*args)
        async with Redis.from_url(redis.url) as client:
            await client.flushall()
        return committed

    monkeypatch.setattr(fragile._catalog, "commit", commit_and_lose)
    assert await put(fragile, name, new_image("p", new, content="new")) == [PutStatus.UPDATED]
    [message] = caplog.messages
    assert "left to the sweep: Redis does not hold the collection" in message


@pytest.mark.parametrize("bad", ["", "A", "1a", "a-b", "a" * 64, "a'; drop", "../x"])
async def test_bad_collection_names_are_refused(store: ImageStore, bad: str) -> None:
    """A name is checked before any store hears of it."""
    with pytest.raises(InvalidArgument, match="collection"):
        await store.create(a_collection(bad))
    with pytest.raises(InvalidArgument, match="collection"):
        await store.get(bad)


async def test_unknown_index_is_refused(store: ImageStore, name: str) -> None:
    """An index that the engine would lose at its next start is never made."""
    with pytest.raises(InvalidArgument, match="index"):
        await store.create(a_collection(name, index="IVF_RABITQ"))


async def test_acknowledged_images_are_found_by_another_process(
    store: ImageStore, whole_images: Collection, milvus_uri: str, redis_url: str
) -> None:
    """As soon as put returns, a search of another process finds the image."""
    embeddings = unit_embeddings(20)
    reader = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.services.stores.reader",
        milvus_uri,
        redis_url,
        whole_images.name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert await reader.stdout.readline() == b"ready\n"
    found = []
    for i, embedding in enumerate(embeddings):
        await put(store, whole_images.name, new_image(f"p/{i}", embedding))
        reader.stdin.write(embedding.tobytes().hex().encode() + b"\n")
        found.append((await reader.stdout.readline()).decode().strip())
    reader.stdin.close()
    await reader.wait()

    assert found == [f"p/{i}" for i in range(len(embeddings))]


async def test_metadata_that_are_not_sent_stay(store: ImageStore, whole_images: Collection) -> None:
    """Changed bytes without metadata keep the old ones; a new image without any has none."""
    old, new = unit_embeddings(2)
    await put(store, whole_images.name, new_image("p", old, {"a": 1}, content="old"))
    changed = replace(new_image("p", new, content="new"), metadata=None)

    assert await put(store, whole_images.name, changed, replace(changed, uri="q")) == [
        PutStatus.UPDATED,
        PutStatus.ADDED,
    ]
    p, q = await store.lookup(whole_images.name, ["p", "q"])
    assert p is not None
    assert q is not None
    assert (p.metadata, p.sha256, q.metadata) == ({"a": 1}, changed.sha256, {})
    assert await uris(store, whole_images.name, new, filter="a = 1") == ["p"]


async def test_new_metadata_keep_embeddings_and_regions(store: ImageStore, name: str) -> None:
    """Metadata alone are a new version with what was encoded, and only where the bytes are still those."""
    await store.create(a_collection(name, CollectionMode.OBJECTS))
    embeddings = unit_embeddings(2)
    regions = [Detection((0.1, 0.2, 0.5, 0.6), "dog", 0.9, 16), Detection((0.5, 0.5, 1.0, 1.0), "cat", 0.8, 15)]
    image = replace(new_image("p", embeddings, {"a": 1}, regions=regions), decoder_revision=2)
    await put(store, name, image)

    change = NewMetadata("p", image.sha256, {})
    [updated, foreign, unknown] = await store.put(
        name, [change, replace(change, sha256="0" * 64), replace(change, uri="q")], soon()
    )
    assert (updated.status, updated.region_count) == (PutStatus.UPDATED, 2)
    assert isinstance(foreign.error, Aborted)
    assert isinstance(unknown.error, Aborted)
    stored = await store.image(name, image_id_of("p"))
    assert (stored.record.metadata, stored.record.decoder_revision) == ({}, 2)
    assert [region.label for region in stored.regions] == ["dog", "cat"]
    assert stored.embeddings == pytest.approx(embeddings, abs=1e-6)
    assert await store.counts(name) == Counts(1, 2)
    await store.drop(name)


async def test_metadata_are_kept_from_the_version_that_is_replaced(
    store: ImageStore, whole_images: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the old version and the new one's begin another writer may change the metadata: they stay."""
    old, new = unit_embeddings(2)
    await put(store, whole_images.name, new_image("p", old, {"a": 1}, content="old"))
    begin = store._catalog.begin

    async def begin_behind_another(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(store._catalog, "begin", begin)
        await put(store, whole_images.name, new_image("p", old, {"a": 2}, content="old"))
        return await begin(*args, **options)

    monkeypatch.setattr(store._catalog, "begin", begin_behind_another)
    await put(store, whole_images.name, replace(new_image("p", new, content="new"), metadata=None))
    [record] = await store.lookup(whole_images.name, ["p"])
    assert record is not None
    assert record.metadata == {"a": 2}


async def test_used_bytes_are_those_of_live_and_pending_images(
    store: ImageStore, whole_images: Collection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are in use as long as any image of any collection has them, also one that is being written."""
    embedding = unit_embeddings(1)[0]
    await store.create(a_collection(f"{name}b"))
    image, pending = new_image("p", embedding), new_image("q", embedding)
    await put(store, whole_images.name, image)
    await put(store, f"{name}b", image)
    asked = [image.sha256, pending.sha256, "0" * 64]
    write, seen = store._rows.add, list[set[str]]()

    async def look_and_write(*args: Any) -> None:
        seen.append(await store.used_sha256s(asked))
        await write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(store._rows, "add", look_and_write)
        await put(store, whole_images.name, pending)
    assert seen == [{image.sha256, pending.sha256}]
    for collection, used in ((whole_images.name, {image.sha256, pending.sha256}), (f"{name}b", {pending.sha256})):
        await store.delete(collection, [image_id_of("p")], soon())
        assert await store.used_sha256s(asked) == used
    await store.drop(f"{name}b")


async def test_a_rebuilt_redis_knows_the_decoder_revision(
    fragile: ImageStore, redis: EmbeddedServer, name: str
) -> None:
    """The revision outlives a loss of Redis, and records that name none are of the first."""
    old, new = unit_embeddings(2)
    await put(fragile, name, new_image("old", old), replace(new_image("new", new), decoder_revision=2))
    async with Redis.from_url(redis.url) as client:
        await client.flushall()

    records = await fragile.lookup(name, ["old", "new"])
    assert [record.decoder_revision for record in records if record] == [1, 2]
