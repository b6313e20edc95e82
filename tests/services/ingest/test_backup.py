"""Backups: what is restored answers as before, whoever wrote meanwhile, and a part is never taken for the whole."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from domain.detection import Detection
from domain.exif import Exif
from rpc.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from services.ingest import backup_folder
from services.ingest.backup import Backup
from services.ingest.backup_folder import BackupFolder
from services.stores import backups
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, image_id_of
from services.stores.scrubbing import Finding
from sources.uploads import Uploads
from tests.services.stores.making import a_collection, find, new_image, opened, put, soon, unit_embeddings
from tests.services.stores.moving import moved, new_embedding

ENGINES = [
    pytest.param("milvus_lite_uri", id="lite"),
    pytest.param("milvus_standalone_uri", id="standalone", marks=pytest.mark.standalone),
]
EMBEDDINGS = unit_embeddings(120)
OBJECTS = (Detection((0.1, 0.1, 0.5, 0.5), "cat", 0.75, 3), Detection((0.25, 0.5, 1.0, 1.0), "dog", 0.5, 4))


@pytest.fixture(params=ENGINES)
def milvus_uri(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def store(milvus_uri: str, redis_url: str) -> AsyncIterator[ImageStore]:
    async with opened(milvus_uri, redis_url) as store:
        yield store


@pytest.fixture
async def name(store: ImageStore) -> AsyncIterator[str]:
    """A collection's name of the test's own; what begins with it is dropped."""
    name = f"c{secrets.token_hex(6)}"
    yield name
    for collection in await store.collections():
        if collection.name.startswith((name, "restoring")):
            await store.drop(collection.name)


@dataclass(frozen=True, slots=True)
class Folders:
    """The backup, the kept files, and those of a system that begins anew."""

    backup: Path
    uploads: Uploads
    new_uploads: Uploads


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """Pages are small, so that there are several."""
    monkeypatch.setattr(backups, "PAGE_SIZE", 16)
    monkeypatch.setattr(backup_folder, "PAGE_SIZE", 16)
    return Folders(tmp_path / "backup", Uploads(tmp_path / "uploads"), Uploads(tmp_path / "new"))


def saving(store: ImageStore, folders: Folders) -> Backup:
    return Backup(store, folders.uploads, BackupFolder(folders.backup))


def restoring(store: ImageStore, folders: Folders) -> Backup:
    return Backup(store, folders.new_uploads, BackupFolder(folders.backup))


async def fill(store: ImageStore, name: str, uploads: Uploads) -> None:
    """Sixty images with metadata and EXIF, some updated, deleted, copied or with kept files, and a collection of objects."""
    await store.create(replace(a_collection(name), display_name="Ferien ☀"))
    exif = Exif(taken="2024-05-01T12:30:00", camera="X100")
    images = [new_image(f"u{n}", EMBEDDINGS[n], {"n": n, "tags": ["é", n % 3]}) for n in range(60)]
    await put(store, name, *(replace(image, exif=exif, decoder_revision=3) for image in images))
    await put(store, name, *(new_image(f"u{n}", EMBEDDINGS[60 + n], {"n": -n}, content=f"new {n}") for n in range(8)))
    await put(store, name, new_image("copy of u40", EMBEDDINGS[40], {"n": 40}, content="u40"))
    await store.delete(name, [image_id_of(f"u{n}") for n in range(50, 55)], soon())
    for n in range(20, 24):
        data = f"bytes {n}".encode()
        await put(store, name, replace(images[n], sha256=hashlib.sha256(data).hexdigest(), metadata={"kept": n}))
        uploads.keep(hashlib.sha256(data).hexdigest(), data)
    await store.create(a_collection(f"{name}_objects", CollectionMode.OBJECTS))
    await put(store, f"{name}_objects", new_image("two", EMBEDDINGS[:2], {"a": 1.5}, regions=OBJECTS))


async def answers(store: ImageStore, name: str) -> dict[str, Any]:
    """All that can be asked about a collection."""
    collection = await store.get(name)
    listed, _ = await store.page(name, page_size=1000)
    stored = [await store.image(name, record.image_id) for record in listed]
    hits = [(await find(store, name, embedding, limit=20)).hits for embedding in EMBEDDINGS[:70:7]]
    filtered = (await find(store, name, EMBEDDINGS[0], limit=20, filter='n > 3 and $camera = "X100"')).hits
    return {
        "definition": replace(collection, generation="", stored_as=""),
        "records": [asdict(record) for record in listed],
        "embeddings": {each.record.image_id: each.embeddings.tobytes() for each in stored},
        "regions": [each.regions for each in stored],
        "hits": [[(hit.record, hit.score, hit.region, hit.copies) for hit in each] for each in [*hits, filtered]],
        "counts": await store.counts(name),
    }


async def test_what_was_wiped_answers_as_before(store: ImageStore, name: str, folders: Folders) -> None:
    """Every record, embedding, region, hit, score and kept file is the same, down to the last bit."""
    names = [name, f"{name}_objects"]
    await fill(store, name, folders.uploads)
    before = [await answers(store, each) for each in names]
    report = await saving(store, folders).save(names)
    assert report.is_complete
    assert [line["images"] for line in report.collections] == [56, 1]
    assert report.upload_count == 4

    for each in names:
        await store.drop(each)
    report = await restoring(store, folders).restore()

    assert report.is_complete
    assert report.upload_count == 4
    for each, answered in zip(names, before, strict=True):
        now = await answers(store, each)
        assert {part for part in now if now[part] != answered[part]} == set()
    assert set(folders.new_uploads.kept()) == set(folders.uploads.kept())
    for each in names:
        assert [found async for found in store.scrub.run(each, embed_again=None) if isinstance(found, Finding)] == []
    added = new_image("u50", EMBEDDINGS[50])
    await put(store, name, added, new_image("u1", EMBEDDINGS[1], {"n": 1}))
    assert (await store.counts(name)).image_count == 57


async def test_a_backup_while_images_are_written(store: ImageStore, name: str, folders: Folders) -> None:
    """What was acknowledged before and did not change since is there; the rest is there in one whole version or not."""
    await fill(store, name, folders.uploads)
    ended = asyncio.Event()

    async def write() -> None:
        n = 0
        while not ended.is_set():
            n += 1
            uri = f"u{n % 10}"
            await put(store, name, new_image(uri, EMBEDDINGS[n % 100], {"run": n}, content=f"{n}"))
            await store.delete(name, [image_id_of(f"u{10 + n % 5}")], soon())
            await put(store, name, new_image(f"u{10 + n % 5}", EMBEDDINGS[n % 100], {"run": n}))

    writing = asyncio.create_task(write())
    report = await saving(store, folders).save([name])
    ended.set()
    await writing
    assert report.is_complete
    untouched = {f"u{n}" for n in (*range(15, 50), *range(55, 60))}
    before = {record.uri: record for record in await store.lookup(name, sorted(untouched)) if record}

    await store.drop(name)
    await restoring(store, folders).restore()
    restored = {record.uri: record for record in (await store.page(name, page_size=1000))[0]}
    assert {uri: restored[uri] for uri in untouched} == before
    for uri, record in restored.items():
        run = record.metadata.get("run")
        if run is not None:
            stored = await store.image(name, image_id_of(uri))
            assert stored.embeddings.tobytes() == EMBEDDINGS[run % 100].tobytes()
    assert [found async for found in store.scrub.run(name, embed_again=None) if isinstance(found, Finding)] == []


async def test_a_restore_that_ended_early_goes_on(
    store: ImageStore, name: str, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody finds the part under the collection's name."""
    await fill(store, name, folders.uploads)
    before = await answers(store, name)
    await saving(store, folders).save([name])
    await store.drop(name)
    write, calls = backups.Backups.write, 0

    async def fail(self: backups.Backups, *args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            message = "Milvus is away"
            raise Unavailable(message)
        await write(self, *args)

    monkeypatch.setattr(backups.Backups, "write", fail)
    with pytest.raises(Unavailable):
        await restoring(store, folders).restore()
    with pytest.raises(NotFound):
        await store.get(name)
    await restoring(store, folders).restore()
    assert await answers(store, name) == before


async def test_a_collection_that_was_moved_and_renamed(store: ImageStore, name: str, folders: Folders) -> None:
    """It is restored as it is served and called now."""
    await fill(store, name, folders.uploads)
    await moved(store, name)
    await store.update(name, new_name=f"{name}_b")
    await saving(store, folders).save([f"{name}_b"])
    await store.drop(f"{name}_b")
    await restoring(store, folders).restore()
    restored = await store.get(f"{name}_b")
    assert (restored.space, restored.display_name) == ("new", "Ferien ☀")
    [hit] = (await find(store, f"{name}_b", new_embedding("u30"), limit=1, space="new")).hits
    assert (hit.record.uri, round(hit.score, 5)) == ("u30", 1)


async def test_damage_is_reported(store: ImageStore, name: str, folders: Folders) -> None:
    """An image without rows and a kept file with other bytes are left out and named."""
    await fill(store, name, folders.uploads)
    [kept] = list(folders.uploads.kept())[:1]
    await asyncio.to_thread(folders.uploads._path(kept).write_bytes, b"something else")
    await store._rows.delete((await store.get(name)).store_name, await keys_of(store, name, "u30"), soon())
    assert await keys_of(store, name, "u30") == []  # by a Strong read, which waits for the deletion
    report = await saving(store, folders).save([name])
    assert not report.is_complete
    assert (report.damaged, report.lost_files) == ([image_id_of("u30")], [kept])


async def keys_of(store: ImageStore, name: str, uri: str) -> list[str]:
    found = await store._rows.keys_of_images((await store.get(name)).store_name, [image_id_of(uri)], soon())
    return list(map(str, found))


@pytest.fixture
async def saved(milvus_lite_uri: str, redis_url: str, folders: Folders) -> AsyncIterator[tuple[ImageStore, Collection]]:
    """A small collection with its backup."""
    async with opened(milvus_lite_uri, redis_url) as store:
        collection = await store.create(a_collection(f"c{secrets.token_hex(6)}"))
        await put(store, collection.name, new_image("u", EMBEDDINGS[0]))
        await saving(store, folders).save([collection.name])
        yield store, collection
        await store.drop(collection.name)


def truncate(folder: Path, name: str) -> None:
    path = folder / "collections" / name / "embeddings.f32"
    path.write_bytes(path.read_bytes()[:-1])


def other_format(folder: Path, _: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))


def foreign_path(folder: Path, name: str) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace(f'"name": "{name}"', '"name": "../../etc"'))


def no_manifest(folder: Path, _: str) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "is damaged"),
        (other_format, "later version"),
        (foreign_path, "a name has"),
        (no_manifest, "not a complete backup"),
    ],
)
async def test_a_backup_that_is_not_right_is_refused(
    saved: tuple[ImageStore, Collection], folders: Folders, damage: Callable[[Path, str], None], words: str
) -> None:
    """Before anything is written."""
    store, collection = saved
    damage(folders.backup, collection.name)
    await store.drop(collection.name)
    with pytest.raises(InvalidArgument, match=words):
        await restoring(store, folders).restore()
    await store.create(collection)
    assert not any(each.name.startswith("restoring") for each in await store.collections())


async def test_what_is_there_is_not_replaced(saved: tuple[ImageStore, Collection], folders: Folders) -> None:
    """Neither a collection nor a backup; a name that the backup lacks is refused."""
    store, collection = saved
    with pytest.raises(AlreadyExists, match=collection.name):
        await restoring(store, folders).restore()
    with pytest.raises(InvalidArgument, match="is not empty"):
        await saving(store, folders).save([collection.name])
    with pytest.raises(NotFound, match="another"):
        await restoring(store, folders).restore(["another"])


async def test_a_backup_of_one_engine_is_restored_on_the_other(
    saved: tuple[ImageStore, Collection], folders: Folders, redis_url: str, request: pytest.FixtureRequest
) -> None:
    """From Milvus Lite to a server: the way from one machine to many."""
    _, collection = saved
    async with opened(str(request.getfixturevalue("milvus_standalone_uri")), redis_url) as server:
        await restoring(server, folders).restore()
        [hit] = (await find(server, collection.name, EMBEDDINGS[0], limit=1)).hits
        assert (hit.record.uri, round(hit.score, 5)) == ("u", 1)
        await server.drop(collection.name)
