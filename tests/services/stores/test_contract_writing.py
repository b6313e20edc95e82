"""What is written: once, by version, findable when acknowledged."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest

from rpc.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, Counts, PutStatus, Region, image_id_of
from tests.services.stores.making import a_collection, find, opened, picture, put, soon, unit_vectors, uris

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


async def test_put_pictures_are_found_with_their_records(store: ImageStore, photos: Collection) -> None:
    """A picture comes back with what was put, and its own embedding finds it with cosine 1."""
    embeddings = unit_vectors(20)
    statuses = await put(store, photos.name, *(picture(f"p/{i}", embeddings[i], {"i": i}) for i in range(20)))

    assert statuses == [PutStatus.ADDED] * 20
    hit = (await find(store, photos.name, embeddings[7])).hits[0]
    assert hit.record.uri == "p/7"
    assert hit.record.image_id == image_id_of("p/7")
    assert hit.record.metadata == {"i": 7}
    assert (hit.record.width_px, hit.record.height_px) == (640, 480)
    assert hit.region is None
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    assert await store.counts(photos.name) == Counts(20, 20)


async def test_rerun_changes_nothing(store: ImageStore, photos: Collection) -> None:
    """The same pictures again are UNCHANGED, and the counts stay."""
    images = [picture(f"p/{i}", embedding) for i, embedding in enumerate(unit_vectors(5))]
    await put(store, photos.name, *images)

    assert await put(store, photos.name, *images) == [PutStatus.UNCHANGED] * 5
    assert await store.counts(photos.name) == Counts(5, 5)


async def test_changed_bytes_replace_the_old_version(store: ImageStore, photos: Collection) -> None:
    """After an update the picture is found where it is now, and nowhere else."""
    old, new = unit_vectors(2)
    await put(store, photos.name, picture("p", old, content="old"))

    assert await put(store, photos.name, picture("p", new, content="new")) == [PutStatus.UPDATED]
    found = await find(store, photos.name, np.stack([old, new]))
    assert [hit.query_index for hit in found.hits] == [1]
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert await store.counts(photos.name) == Counts(1, 1)


async def test_changed_metadata_are_an_update(store: ImageStore, photos: Collection) -> None:
    """Other metadata with the same bytes replace the old ones, also for filters."""
    [embedding] = unit_vectors(1)
    await put(store, photos.name, picture("p", embedding, {"colour": "red"}))

    assert await put(store, photos.name, picture("p", embedding, {"colour": "blue"})) == [PutStatus.UPDATED]
    assert await uris(store, photos.name, embedding, filter="colour = 'red'") == []
    assert await uris(store, photos.name, embedding, filter="colour = 'blue'") == ["p"]


async def test_unchanged_knows_what_lives(store: ImageStore, photos: Collection) -> None:
    """Before encoding, the store tells which pictures it has already."""
    image = picture("p", unit_vectors(1)[0], {"a": 1})
    await put(store, photos.name, image)

    same, other_bytes, other_metadata, unknown = await store.unchanged(
        photos.name,
        [("p", image.sha256, {"a": 1}), ("p", "0" * 64, {"a": 1}), ("p", image.sha256, {}), ("q", image.sha256, {})],
    )
    assert same is not None
    assert same.uri == "p"
    assert (other_bytes is None, other_metadata is None, unknown) == (True, True, None)


async def test_objects_keep_their_regions(store: ImageStore, name: str) -> None:
    """A picture of two objects is one picture and two regions, each with box, label and score."""
    await store.create(a_collection(name, CollectionMode.OBJECTS))
    dog, cat = unit_vectors(2)
    regions = [Region((0.1, 0.2, 0.5, 0.6), "dog", 0.9, 16), Region((0.5, 0.5, 1.0, 1.0), "cat", 0.8, 15)]
    await put(store, name, picture("pets", np.stack([dog, cat]), regions=regions))

    hit = (await find(store, name, cat)).hits[0]
    assert hit.region is not None
    assert hit.region.label == "cat"
    assert hit.region.box == pytest.approx((0.5, 0.5, 1.0, 1.0))
    assert await store.counts(name) == Counts(1, 2)
    stored = await store.image(name, image_id_of("pets"))
    assert [region.label for region in stored.regions] == ["dog", "cat"]
    assert stored.embeddings == pytest.approx(np.stack([dog, cat]), abs=1e-6)
    await store.drop(name)


async def test_nasty_texts_survive(store: ImageStore, photos: Collection) -> None:
    """Uris and metadata are kept and matched character by character."""
    [embedding] = unit_vectors(1)
    metadata = {text: {"text": text, "ключ": [text, {"a": None}]} for text in NASTY}
    await put(store, photos.name, *(picture(f"uri {text}", embedding, metadata[text]) for text in NASTY))

    for text in NASTY:
        record = (await store.image(photos.name, image_id_of(f"uri {text}"))).record
        assert (record.uri, record.metadata) == (f"uri {text}", metadata[text])
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        assert await store.ids_matching(photos.name, f'text = "{quoted}"') == [record.image_id]
        assert await store.ids_matching(photos.name, f'$uri = "uri {quoted}"') == [record.image_id]


async def test_bad_pictures_fail_alone(store: ImageStore, photos: Collection) -> None:
    """What cannot be stored is refused with a sentence, and its neighbours are stored."""
    [good] = unit_vectors(1)
    nan = good.copy()
    nan[3] = np.nan
    results = await store.put(
        photos.name,
        [
            picture("nan", nan),
            picture("long", good * 2),
            picture("short", good[:5]),
            picture("", good),
            picture("x" * 5000, good),
            picture("half a pair \ud800", good),
            picture("nan metadata", good, {"a": float("nan")}),
            picture("much metadata", good, {"a": "x" * 20_000}),
            picture("no region", good, regions=()),
            picture("good", good),
        ],
        soon(),
    )

    assert [type(result.error) for result in results[:-1]] == [InvalidArgument] * 9
    assert results[-1].status is PutStatus.ADDED
    assert await uris(store, photos.name, good) == ["good"]


async def test_one_batch_may_hold_a_uri_twice(store: ImageStore, photos: Collection) -> None:
    """The later of two pictures with one uri wins, and only one version lives."""
    first, second = unit_vectors(2)
    statuses = await put(store, photos.name, picture("p", first, content="1"), picture("p", second, content="2"))

    assert statuses == [PutStatus.ADDED, PutStatus.UPDATED]
    assert await store.counts(photos.name) == Counts(1, 1)
    assert (await find(store, photos.name, second)).hits[0].score == pytest.approx(1.0, abs=1e-5)


async def test_two_writers_of_one_uri_leave_one_version(
    store: ImageStore, photos: Collection, milvus_uri: str, redis_url: str
) -> None:
    """Whoever loses is told; never do two versions live."""
    embeddings = unit_vectors(8)
    async with opened(milvus_uri, redis_url) as other:
        results = await asyncio.gather(
            *(
                (store, other)[i % 2].put(photos.name, [picture("p", embedding, content=f"{i}")], soon())
                for i, embedding in enumerate(embeddings)
            )
        )

    outcomes = [result for [result] in results]
    assert any(result.status is not None for result in outcomes)
    assert all(result.status is not None or isinstance(result.error, Aborted) for result in outcomes)
    assert await store.counts(photos.name) == Counts(1, 1)
    assert await uris(store, photos.name, embeddings) == ["p"]


async def test_deleted_pictures_are_gone(store: ImageStore, photos: Collection) -> None:
    """Delete counts what was there; the picture is not found, not listed, not readable, and can be put again."""
    embeddings = unit_vectors(3)
    await put(store, photos.name, *(picture(f"p/{i}", embeddings[i]) for i in range(3)))
    gone = image_id_of("p/1")

    assert await store.delete(photos.name, [gone, gone, "f" * 32, "no id"], soon()) == 1
    assert await store.delete(photos.name, [gone], soon()) == 0
    assert "p/1" not in await uris(store, photos.name, embeddings[1])
    assert await store.counts(photos.name) == Counts(2, 2)
    with pytest.raises(NotFound):
        await store.image(photos.name, gone)
    assert await put(store, photos.name, picture("p/1", embeddings[1])) == [PutStatus.ADDED]
    assert await uris(store, photos.name, embeddings[1], limit=1) == ["p/1"]


async def test_collections_are_kept_apart(store: ImageStore, photos: Collection, name: str) -> None:
    """An id of another collection is unknown here, and its pictures are not found here."""
    await store.create(a_collection(f"{name}b"))
    [embedding] = unit_vectors(1)
    await put(store, f"{name}b", picture("p", embedding))

    assert await uris(store, photos.name, embedding) == []
    assert await store.delete(photos.name, [image_id_of("p")], soon()) == 0
    with pytest.raises(NotFound):
        await store.image(photos.name, image_id_of("p"))
    assert await uris(store, f"{name}b", embedding) == ["p"]
    await store.drop(f"{name}b")


async def test_collections_are_created_listed_and_dropped(store: ImageStore, name: str) -> None:
    """A definition comes back as it was made; what is dropped is gone, and its name is free for an empty one."""
    created = await store.create(a_collection(name))

    assert await store.get(name) == created
    assert created in await store.collections()
    with pytest.raises(AlreadyExists):
        await store.create(a_collection(name))
    await put(store, name, picture("p", unit_vectors(1)[0]))
    await store.drop(name)
    with pytest.raises(NotFound):
        await store.get(name)
    with pytest.raises(NotFound):
        await store.drop(name)
    await store.create(a_collection(name))
    assert await store.counts(name) == Counts(0, 0)
    assert await uris(store, name, unit_vectors(1)) == []
    await store.drop(name)


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


async def test_acknowledged_pictures_are_found_by_another_process(
    store: ImageStore, photos: Collection, milvus_uri: str, redis_url: str
) -> None:
    """As soon as put returns, a search of another process finds the picture."""
    embeddings = unit_vectors(20)
    reader = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.services.stores.reader",
        milvus_uri,
        redis_url,
        photos.name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert await reader.stdout.readline() == b"ready\n"
    found = []
    for i, embedding in enumerate(embeddings):
        await put(store, photos.name, picture(f"p/{i}", embedding))
        reader.stdin.write(embedding.tobytes().hex().encode() + b"\n")
        found.append((await reader.stdout.readline()).decode().strip())
    reader.stdin.close()
    await reader.wait()

    assert found == [f"p/{i}" for i in range(len(embeddings))]
