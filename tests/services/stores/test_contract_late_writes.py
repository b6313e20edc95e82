"""A write whose outcome is unknown may reach Milvus at any later time: what was deleted stays deleted nevertheless."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from typing import Any

import pytest
from redis.asyncio import Redis

from rpc.deadline import Deadline
from rpc.errors import Aborted, DeadlineExceeded, Unavailable
from services.stores.images import ImageStore
from services.stores.milvus.scanning import scan
from services.stores.milvus.store import RowStore
from services.stores.records import Collection, Counts, Embeddings, PutStatus, image_id_of
from services.stores.recovery import Recovery
from testbed.servers import EmbeddedServer
from tests.services.stores.making import find, new_image, opened, put, soon, unit_embeddings, uris

OLD, LATE, NEW = unit_embeddings(3)
ORDERS = list(permutations(("late", "delete", "lose", "sweep")))
EVERYTHING = 100
ENGINES = [
    pytest.param("milvus_lite_uri", id="lite"),
    # A rebuild reads sixteen shards with Strong consistency, which takes the real server seconds.
    pytest.param("milvus_standalone_uri", id="standalone", marks=[pytest.mark.standalone, pytest.mark.more]),
]


@pytest.fixture(params=ENGINES)
def milvus_uri(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return str(request.getfixturevalue(request.param))


@dataclass(frozen=True, slots=True)
class Trial:
    """A store with an empty collection, and what may happen to it."""

    store: ImageStore
    name: str
    milvus_uri: str
    redis_url: str
    monkeypatch: pytest.MonkeyPatch

    async def put(self, uri: str, embedding: Embeddings, content: str = "") -> list[PutStatus | None]:
        """Put one image."""
        return await put(self.store, self.name, new_image(uri, embedding, content=content))

    async def put_late(self, uri: str, *, dies: bool = False) -> Callable[[], Awaitable[None]]:
        """A put whose rows arrive when the answer is awaited; a writer that `dies` leaves its version pending."""
        write, late = self.store._rows.add, list[Callable[[], Awaitable[None]]]()

        async def time_out(name: str, rows: Sequence[dict[str, Any]], _: Deadline) -> None:
            late.append(lambda: write(name, rows, soon()))
            raise DeadlineExceeded("Milvus did not answer in time")

        async def die(*_: object) -> None:
            raise Unavailable("failed on purpose")

        with self.monkeypatch.context() as patch:
            patch.setattr(self.store._rows, "add", time_out)
            if dies:
                patch.setattr(self.store._catalog, "abort", die)
            with pytest.raises(DeadlineExceeded):
                await self.put(uri, LATE, "late")
        return late[0]

    def before_write(self, call: Callable[[], Awaitable[object]], *, behind: bool = False) -> None:
        """Make a call just before, or `behind`, the next rows are written."""
        write = self.store._rows.add

        async def write_and_call(*args: Any) -> None:
            self.monkeypatch.setattr(self.store._rows, "add", write)
            for step in (partial(write, *args), call) if behind else (call, partial(write, *args)):
                await step()

        self.monkeypatch.setattr(self.store._rows, "add", write_and_call)

    async def delete(self, uri: str) -> int:
        """Delete one image; how many there were."""
        return (await self.store.delete(self.name, [image_id_of(uri)], soon())).image_count

    async def lose(self) -> None:
        """Redis forgets everything and is rebuilt, by another process."""
        async with Redis.from_url(self.redis_url) as client:
            await client.flushall()
        async with opened(self.milvus_uri, self.redis_url) as other:
            await other.counts(self.name)

    async def end_quarantine(self) -> None:
        """Make all tombstones due, and sweep them away."""
        async with Redis.from_url(self.redis_url) as client:
            for key in await client.keys(f"fovea:{{{self.name}:*}}:dead"):
                for image_id, tombstones in (await client.hgetall(key)).items():
                    due = re.sub(r"(\d+:\d+):\d+", r"\1:1", tombstones.decode())  # type: ignore[union-attr]
                    await client.hset(key, image_id, due)
            await self.store.sweep(self.name)
            assert await client.keys(f"fovea:{{{self.name}:*}}:dead") == []

    async def found(self, embedding: Embeddings) -> list[str]:
        """The uris of everything that is found."""
        return await uris(self.store, self.name, embedding, EVERYTHING)

    async def row_count(self) -> int:
        """How many rows Milvus has, known to Redis or not."""
        row_store = await RowStore.open(self.milvus_uri)
        collection = await row_store.collection(self.name)
        batches = scan(row_store.query, collection, fields=(), deadline=soon(), consistency="Strong")
        rows = [row async for batch in batches for row in batch]
        await row_store.close()
        return len(rows)


@pytest.fixture
def trial(
    fragile: ImageStore, name: str, milvus_uri: str, redis: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> Trial:
    return Trial(fragile, name, milvus_uri, redis.url, monkeypatch)


@pytest.mark.parametrize(
    ("orders", "lives", "dies"),
    [
        pytest.param(ORDERS[::7], True, False, id="some"),
        *(
            pytest.param(ORDERS, *each, id=f"{each}", marks=pytest.mark.more)
            for each in product((False, True), repeat=2)
        ),
    ],
)
async def test_a_deleted_image_stays_deleted_in_every_order(
    trial: Trial, orders: list[tuple[str, ...]], *, lives: bool, dies: bool
) -> None:
    """Late rows, the delete, a loss of Redis and a sweep, in any order: no later loss brings the image back."""
    for number, order in enumerate(orders):
        uri = f"p/{number}"
        if lives:
            await trial.put(uri, OLD, "old")
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "late": await trial.put_late(uri, dies=dies),
            "delete": partial(trial.delete, uri),
            "lose": trial.lose,
            "sweep": partial(trial.store.sweep, trial.name),
        }
        for step in order:
            await steps[step]()

        await trial.lose()
        assert await trial.found(LATE) == [], order
    assert await trial.store.counts(trial.name) == Counts(0, 0)
    await trial.end_quarantine()
    assert await trial.row_count() == 0


@pytest.mark.parametrize("order", list(permutations(("late", "lose", "end"))), ids=" ".join)
async def test_an_image_that_is_put_again_lives(trial: Trial, order: tuple[str, ...]) -> None:
    """What was acknowledged after a deletion is found once, whatever arrives late and is lost."""
    steps = {"late": await trial.put_late("p"), "lose": trial.lose, "end": trial.end_quarantine}
    await trial.delete("p")
    assert await trial.put("p", NEW) == [PutStatus.ADDED]
    for step in order:
        await steps[step]()
        hits = (await find(trial.store, trial.name, NEW, EVERYTHING)).hits
        assert [(hit.record.uri, round(hit.score, 4)) for hit in hits] == [("p", 1.0)], step

    if order.index("late") < order.index("end"):
        assert await trial.row_count() == 1


async def test_a_write_that_lost_leaves_nothing(trial: Trial) -> None:
    """A put whose version Redis forgot while its rows were written tries again, and the first rows are deleted."""
    trial.before_write(trial.lose)
    assert await trial.put("p", NEW) == [PutStatus.ADDED]

    assert await trial.row_count() == 1
    assert await trial.delete("p") == 1
    await trial.lose()
    assert await trial.found(NEW) == []


async def test_a_delete_beats_a_write_that_runs(trial: Trial) -> None:
    """A put that ran while its image was deleted goes live with a version that a rebuild keeps."""
    trial.before_write(partial(trial.delete, "p"), behind=True)
    assert await trial.put("p", NEW) == [PutStatus.ADDED]

    for _ in range(2):
        assert await trial.found(NEW) == ["p"]
        await trial.lose()


@contextmanager
def failing_at(store: ImageStore, step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Inside, the store's `step`-th change of either store is not made, nor any after it; yields those that were."""
    made: list[str] = []

    def counted(call: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        async def counted_call(*args: Any, **options: Any) -> Any:
            if len(made) == step:
                raise Unavailable("failed on purpose")
            made.append(name)
            return await call(*args, **options)

        return counted_call

    with monkeypatch.context() as patch:
        for owner, name in (
            (store._catalog, "mark_deleted"),
            (store._rows, "upsert"),
            (store._rows, "delete"),
            (store._catalog, "remove_tombstones"),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name), name))
        yield made


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_delete_that_dies_between_any_two_steps_can_be_sent_again(trial: Trial, *, is_lost: bool) -> None:
    """Half a deletion leaves an image that is whole or away, and the next one finishes it."""
    steps = ["mark_deleted", "upsert", "mark_deleted", "delete", "remove_tombstones"]
    for step in range(len(steps)):
        await trial.put("p", OLD)
        with failing_at(trial.store, step, trial.monkeypatch) as made, pytest.raises(Unavailable):
            await trial.delete("p")
        assert made == steps[:step]
        if is_lost:
            await trial.lose()
        listed, _ = await trial.store.page(trial.name, page_size=10)
        assert await trial.found(OLD) == [record.uri for record in listed], made
        await trial.delete("p")
        await trial.lose()
        assert await trial.found(OLD) == [], made


async def test_redis_is_rebuilt_once_for_all_who_ask(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """Fifty calls that meet a lost Redis are answered after one rebuild, which is logged in one line."""
    await trial.put("p", OLD)
    async with Redis.from_url(trial.redis_url) as client:
        await client.flushall()

    counts = await asyncio.gather(*(trial.store.counts(trial.name) for _ in range(50)))
    assert set(counts) == {Counts(1, 1)}
    assert len([record for record in caplog.records if "rebuilt" in record.message]) == 1


async def test_errors_of_a_rebuild_keep_their_status(trial: Trial) -> None:
    """What fails in one of sixteen shards reaches the caller as what it is, and the next call need not wait."""
    rebuild = Recovery._rebuild_shard

    async def fail(self: Recovery, collection: Collection, shard: str, deadline: Deadline) -> bool:
        if shard == "7":
            raise Aborted("one of many")
        return await rebuild(self, collection, shard, deadline)

    async with Redis.from_url(trial.redis_url) as client:
        await client.flushall()
    with trial.monkeypatch.context() as patch:
        patch.setattr(Recovery, "_rebuild_shard", fail)
        with pytest.raises(Aborted, match="one of many"):
            await trial.store.counts(trial.name)
    assert await trial.store.counts(trial.name) == Counts(0, 0)
