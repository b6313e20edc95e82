"""`Scrub`: planted damage of each kind is found and repaired, and a healthy collection is left alone, also under writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from fovea.ingest.v1 import ingest_pb2
from rpc.deadline import Deadline
from services.stores import scrubbing
from services.stores.diagnosis import ROW_FIELDS, Damage
from services.stores.milvus.rows import EMBEDDING, REGION_FIELDS, Row, deletion_row
from services.stores.milvus.scanning import scan
from services.stores.milvus.store import RowStore
from services.stores.records import Collection, ImageRecord, image_id_of
from services.stores.redis.entries import decode_entry, encode_entry
from services.stores.redis.shards import key
from tests.support.bundles import tiny_image_bundle
from tests.support.services import (
    Stores,
    add,
    create,
    drop_collections,
    encoder_process,
    ingest_stub,
    item,
    search_stub,
)
from tests.support.traffic import Traffic, answer, drawn

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

ALL_FIELDS = list(dict.fromkeys([*ROW_FIELDS, *REGION_FIELDS]))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An encoder process."""
    folder = tmp_path_factory.mktemp("bundles")
    with encoder_process(folder / "log", tiny_image_bundle(folder / "tiny").folder) as address:
        yield address


@dataclass
class Planter:
    """Damages single images of a collection, behind the back of the services."""

    rows: RowStore
    redis: Redis
    collection: Collection
    uploads: Path

    def key(self, image_id: str, part: str) -> str:
        """The key of a part of the image's shard."""
        return key(self.collection.store_name, image_id[0], part)

    async def record(self, image_id: str) -> ImageRecord:
        """Its record."""
        entry = await self.redis.hget(self.key(image_id, "live"), image_id)
        assert isinstance(entry, bytes)
        return decode_entry(image_id, entry)

    async def rows_of(self, image_id: str) -> list[Row]:
        """Its rows, each as often as it is stored."""
        batches = scan(
            self.rows.query,
            self.collection,
            prefix=image_id,
            fields=ALL_FIELDS,
            deadline=soon(),
            consistency="Strong",
            unique=False,
        )
        return [row async for batch in batches for row in batch]

    async def count(self, uri: str) -> int:
        """How many rows of an image Milvus counts."""
        options = {"filter": f"image_id == '{image_id_of(uri)}'", "output_fields": ["count(*)"]}
        count = self.rows._client.query
        [row] = await self.rows._call(self.collection.store_name, soon(), count, consistency_level="Strong", **options)
        return int(row["count(*)"])

    async def write(self, image: str, **columns: Any) -> None:
        """Write its row again with other columns."""
        [row] = await self.rows_of(image)
        await self.rows.upsert(self.collection.store_name, [row | columns], soon())

    async def replace_record(self, image_id: str, **fields: Any) -> None:
        """Change its record in Redis alone."""
        entry = encode_entry(replace(await self.record(image_id), **fields))
        await self.redis.hset(self.key(image_id, "live"), image_id, entry)

    async def image_without_record(self, image_id: str) -> None:
        """Redis knows nothing of it."""
        await self.redis.hdel(self.key(image_id, "live"), image_id)
        await self.redis.zrem(self.key(image_id, "order"), image_id)
        await self.redis.hincrby(self.key(image_id, "state"), "regions", -1)

    async def record_without_rows(self, image_id: str) -> None:
        """Milvus knows nothing of it."""
        keys = [row["key"] for row in await self.rows_of(image_id)]
        await self.rows.delete(self.collection.store_name, keys, soon())

    async def record_of_another_version(self, image_id: str) -> None:
        """Its record names a version without rows."""
        await self.replace_record(image_id, version=(await self.record(image_id)).version + 1)

    async def record_that_differs_from_its_rows(self, image_id: str) -> None:
        """Its record says something else."""
        await self.replace_record(image_id, width_px=1, uri="another")

    async def row_that_contradicts_its_key(self, image_id: str) -> None:
        """Its row says that it is of another image."""
        await self.write(image_id, image_id="f" * 32)

    async def row_stored_twice(self, image_id: str) -> None:
        """Its row is there twice, which Milvus does not prevent."""
        [row] = await self.rows_of(image_id)
        await self.rows._call(self.collection.store_name, soon(), self.rows._client.insert, [row])

    async def embedding_that_is_not_of_unit_length(self, image_id: str) -> None:
        """Its embedding is too long."""
        [row] = await self.rows_of(image_id)
        await self.write(image_id, embedding=3 * row[EMBEDDING])

    async def rows_of_no_version(self, image_id: str) -> None:
        """A row of an old version was left."""
        await self.write(image_id, key=f"{image_id}-1000-0", version=1000)

    async def deletion_that_redis_forgot(self, image_id: str) -> None:
        """It was deleted, which only Milvus knows."""
        version = (await self.record(image_id)).version + 1
        row = deletion_row(image_id, version, self.collection.dimension)
        await self.rows.upsert(self.collection.store_name, [row], soon())

    async def tombstone_that_was_never_removed(self, image_id: str) -> None:
        """A row of an old version was left, with its tombstone."""
        await self.rows_of_no_version(image_id)
        await self.redis.hset(self.key(image_id, "dead"), image_id, "1000:1")

    async def write_that_never_ended(self, image_id: str) -> None:
        """A writer died."""
        record = await self.record(image_id)
        entry = encode_entry(replace(record, version=record.version + 1)) + b" 1000 abcdef"
        await self.redis.hset(self.key(image_id, "pending"), image_id, entry)

    async def wrong_counts(self, image_id: str) -> None:
        """It is not listed."""
        await self.redis.zrem(self.key(image_id, "order"), image_id)

    async def file_that_is_gone(self, image_id: str) -> None:
        """Its kept file was deleted."""
        sha256 = (await self.record(image_id)).sha256
        (self.uploads / sha256[:2] / sha256).unlink()

    async def kept_file_with_other_bytes(self, image_id: str) -> None:
        """Its kept file is damaged."""
        sha256 = (await self.record(image_id)).sha256
        (self.uploads / sha256[:2] / sha256).write_bytes(b"something else")


def soon() -> Deadline:
    return Deadline.after(60)


PLANTED: dict[Damage, Callable[[Planter, str], Awaitable[None]]] = {
    damage: getattr(Planter, damage.replace(" ", "_").lower()) for damage in Damage
}


async def scrubbed(
    ingest: "IngestServiceAsyncStub", name: str, *, repair: bool = False
) -> list[tuple[str, str, bool, str]]:
    """What a scrub says, without its progress."""
    request = ingest_pb2.ScrubRequest(collection=name, repair=repair)
    news = [each async for each in ingest.Scrub(request)]
    assert not news[-1].damage
    assert news[-1].checked_count <= news[-1].total_count
    return sorted((each.image_id, each.damage, each.repaired, each.detail) for each in news if each.damage)


@pytest.fixture(
    params=[
        pytest.param("milvus_lite_uri", id="lite"),
        pytest.param("milvus_standalone_uri", id="standalone", marks=pytest.mark.standalone),
    ]
)
def engine(request: pytest.FixtureRequest, redis_url: str) -> Stores:
    """Each engine in turn."""
    return Stores(str(request.getfixturevalue(request.param)), redis_url)


@pytest.fixture
async def scrubbing_ingest(
    engine: Stores, encoder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "AsyncIterator[IngestServiceAsyncStub]":
    """An ingest service that sweeps nothing meanwhile."""
    monkeypatch.setattr(scrubbing, "PURGE_S", 1.0)
    settings: dict[str, Any] = {"uploads": tmp_path / "uploads", "sweep_period_s": 3600}
    async with ingest_stub(engine, encoder, **settings) as stub:
        yield stub
    await drop_collections(engine, name)


@pytest.fixture
async def planter(
    engine: Stores, scrubbing_ingest: "IngestServiceAsyncStub", name: str, tmp_path: Path
) -> AsyncIterator[Planter]:
    """A collection of an image for each kind of damage, and five more."""
    await create(scrubbing_ingest, name)
    await add(
        scrubbing_ingest, name, *(item(f"u{number}", drawn(number), n=number) for number in range(len(Damage) + 5))
    )
    rows, redis = await RowStore.open(engine.milvus_uri), Redis.from_url(engine.redis_url)
    yield Planter(rows, redis, await rows.collection(name), tmp_path / "uploads")
    await redis.aclose()
    await rows.close()


async def test_each_kind_of_damage_is_found_and_repaired_and_nothing_else(
    engine: Stores, encoder: str, scrubbing_ingest: "IngestServiceAsyncStub", planter: Planter, name: str
) -> None:
    """A report changes nothing; a repair leaves every image found by its content, with its metadata."""
    kinds = [damage for damage in Damage if damage is not Damage.ROW_TWICE]
    assert await scrubbed(scrubbing_ingest, name) == []
    damaged = {image_id_of(f"u{number}"): damage for number, damage in enumerate(kinds)}
    for image_id, damage in damaged.items():
        await PLANTED[damage](planter, image_id)

    reported = await scrubbed(scrubbing_ingest, name)
    expected = sorted(
        ("" if each is Damage.WRONG_COUNTS else image_id, str(each)) for image_id, each in damaged.items()
    )
    assert [(image_id, damage) for image_id, damage, _, _ in reported] == expected
    assert not any(repaired for *_, repaired, _ in reported)
    assert [each[:2] for each in await scrubbed(scrubbing_ingest, name)] == expected

    repaired = await scrubbed(scrubbing_ingest, name, repair=True)
    lost = (Damage.MISSING_FILE, Damage.WRONG_FILE)
    assert [each[:3] for each in repaired] == [(*each, each[1] not in lost) for each in expected], repaired
    left = sorted(image_id for image_id, damage in damaged.items() if damage in lost)
    assert [each[:2] for each in await scrubbed(scrubbing_ingest, name)] == [
        (each, str(Damage.MISSING_FILE)) for each in left
    ]
    again = [number for number, damage in enumerate(kinds) if damage in lost]
    await add(scrubbing_ingest, name, *(item(f"u{number}", drawn(number), n=number) for number in again))
    assert await scrubbed(scrubbing_ingest, name) == []
    gone = {number for number, damage in enumerate(kinds) if damage is Damage.FORGOTTEN_DELETION}
    listing = await scrubbing_ingest.ListImages(ingest_pb2.ListImagesRequest(collection=name))
    assert sorted(each.uri for each in listing.images) == sorted(
        f"u{number}" for number in range(len(Damage) + 5) if number not in gone
    )
    async with search_stub(engine, encoder) as search:
        for number in set(range(len(Damage) + 5)) - gone:
            _, hits = await answer(search, name, drawn(number), 1)
            [(uri, score)] = hits
            assert (uri, round(score, 3)) == (f"u{number}", 1)
            [row] = await planter.rows_of(image_id_of(f"u{number}"))
            assert row["metadata"] == {"n": number}


async def test_a_row_under_a_foreign_key_is_deleted(
    scrubbing_ingest: "IngestServiceAsyncStub", planter: Planter, name: str
) -> None:
    """It is of no image at all."""
    await planter.write(image_id_of("u1"), key="abc")
    [(image_id, damage, repaired, detail)] = await scrubbed(scrubbing_ingest, name)
    assert (image_id, damage, repaired, detail) == ("", str(Damage.STRAY_ROWS), False, "a row under the key abc")
    assert [each[2] for each in await scrubbed(scrubbing_ingest, name, repair=True)] == [True]
    assert await scrubbed(scrubbing_ingest, name) == []


async def test_a_row_that_comes_twice_is_written_once(
    scrubbing_ingest: "IngestServiceAsyncStub", planter: Planter, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image gets a new version of one row, without its file. Milvus 2.3 answers such a row once; others may not."""
    image_id = image_id_of("u1")
    [row] = await planter.rows_of(image_id)
    query = RowStore.query

    async def twice(self: RowStore, *args: Any, **options: Any) -> list[Row]:
        return [
            each
            for found in await query(self, *args, **options)
            for each in [found] * (1 + (found["key"] == row["key"]))
        ]

    monkeypatch.setattr(RowStore, "query", twice)
    assert await scrubbed(scrubbing_ingest, name) == [(image_id, str(Damage.ROW_TWICE), False, "")]
    assert await scrubbed(scrubbing_ingest, name, repair=True) == [(image_id, str(Damage.ROW_TWICE), True, "")]
    assert await scrubbed(scrubbing_ingest, name) == []
    assert [each["key"] == row["key"] for each in await planter.rows_of(image_id)] == [False]


async def test_a_row_that_is_stored_twice_is_found_once_and_deleted_twice(
    engine: Stores, encoder: str, scrubbing_ingest: "IngestServiceAsyncStub", planter: Planter, name: str
) -> None:
    """Milvus counts it twice and answers it once, so that a scrub does not see it; a new version removes both."""
    await planter.row_stored_twice(image_id_of("u1"))
    assert await planter.count("u1") == 2
    assert await scrubbed(scrubbing_ingest, name) == []
    async with search_stub(engine, encoder) as search:
        _, hits = await answer(search, name, drawn(1), 3)
        assert [uri for uri, _ in hits].count("u1") == 1
        await add(scrubbing_ingest, name, item("u1", drawn(999)))
        _, hits = await answer(search, name, drawn(999), 3)
        assert [uri for uri, _ in hits].count("u1") == 1
    assert await planter.count("u1") == 1


async def test_what_cannot_be_repaired_says_why(
    scrubbing_ingest: "IngestServiceAsyncStub", planter: Planter, name: str
) -> None:
    """Without its file an image is not embedded again; sending it again repairs it."""
    image_id = image_id_of("u1")
    sha256 = (await planter.record(image_id)).sha256
    (planter.uploads / sha256[:2] / sha256).unlink()
    await planter.embedding_that_is_not_of_unit_length(image_id)
    found = await scrubbed(scrubbing_ingest, name, repair=True)
    damages = [str(Damage.BAD_EMBEDDING), str(Damage.MISSING_FILE)]
    assert [each[:3] for each in found] == [(image_id, damage, False) for damage in damages]
    assert all(detail for *_, detail in found)
    await add(scrubbing_ingest, name, item("u1", drawn(1)))
    assert await scrubbed(scrubbing_ingest, name) == []


async def test_a_healthy_collection_under_writes_is_left_alone(
    engine: Stores, encoder: str, scrubbing_ingest: "IngestServiceAsyncStub", name: str
) -> None:
    """While images are added, updated, deleted and searched, scrubs find nothing and lose nothing."""
    await create(scrubbing_ingest, name)
    async with search_stub(engine, encoder) as search:
        traffic = Traffic(name, [search], lambda: [scrubbing_ingest])
        async with traffic.running(4):
            for _ in range(4):
                await asyncio.sleep(0.3)
                assert await scrubbed(scrubbing_ingest, name, repair=True) == []
        await traffic.check_all()
