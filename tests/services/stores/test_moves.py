"""A collection moves to another space: both sides end alike, one is served at any time, and a run that died is repaired."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from rpc.errors import Aborted, FailedPrecondition, NotFound
from services.stores.images import ImageStore
from services.stores.milvus.names import StoredNames
from services.stores.milvus.rows import schema_of
from services.stores.milvus.store import RowStore
from services.stores.moves import Move
from services.stores.records import (
    Collection,
    SpaceChanged,
    image_id_of,
)
from services.stores.redis import locking
from services.stores.scrubbing import Finding
from services.stores.serving import Serving
from tests.services.stores.making import a_collection, find, new_image, opened, put, soon, unit_embeddings, uris
from tests.services.stores.moving import NEW, copy, copy_all, copy_changes, moved, new_embedding, switch

OLD = unit_embeddings(50)


@pytest.fixture
async def filled(store: ImageStore, name: str) -> AsyncIterator[Collection]:
    """A collection of twenty images."""
    collection = await store.create(a_collection(name))
    await put(store, name, *(new_image(f"u{n}", OLD[n], {"n": n}) for n in range(20)))
    yield collection
    await store.drop(name)


async def test_a_moved_collection_answers_in_its_new_space(store: ImageStore, filled: Collection) -> None:
    """Every image is found by its new embedding with its record, and the old space is refused."""
    name = filled.name
    before = await store.counts(name)
    await moved(store, name)
    assert (await store.get(name)).space == "new"
    assert await store.counts(name) == before
    for n in range(20):
        [hit] = (await find(store, name, new_embedding(f"u{n}"), limit=1, space="new")).hits
        assert (hit.record.uri, hit.record.metadata) == (f"u{n}", {"n": n})
        assert hit.score == pytest.approx(1, abs=1e-5)
    with pytest.raises(SpaceChanged):
        await find(store, name, OLD[0], space="space")
    assert [each.name for each in await store.collections()].count(name) == 1


async def test_a_way_back_restores_the_old_answers(
    store: ImageStore, filled: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    """What did not change is not embedded again and answers exactly as before; what did change is not lost."""
    name = filled.name
    queries = [await find(store, name, embedding) for embedding in OLD[20:25]]
    await moved(store, name)
    former = await store.serving.former(name)
    assert (former.space, former.encoder) == ("space", "encoder")
    back: dict[str, Any] = {"space": former.space, "encoder": former.encoder, "dimension": former.dimension}
    caplog.clear()
    async with store.moves.open(name, **back) as move:
        assert await copy_all(move) == 0
        await switch(move)
    assert "had lost" not in caplog.text
    assert [(await find(store, name, embedding)).hits for embedding in OLD[20:25]] == [each.hits for each in queries]

    await moved(store, name)
    await store.serving.drop_others(name)
    with pytest.raises(FailedPrecondition, match="no former embeddings"):
        await store.serving.former(name)


async def test_an_image_that_was_deleted_and_added_again_comes_back_with_its_deletion(
    store: ImageStore, filled: Collection
) -> None:
    """Where a move brings an image to a side that deleted an older version, that deletion is still known there."""
    name = filled.name
    await moved(store, name)
    await store.delete(name, [image_id_of("u2")], soon())
    await moved(store, name, space="third")
    await put(store, name, new_image("u2", new_embedding("u2")[0]))
    await moved(store, name)
    found = [each async for each in store.scrub.run(name, embed_again=None) if isinstance(each, Finding)]
    assert found == []
    assert (await store.counts(name)).image_count == 20


async def test_changes_during_a_move_reach_both_sides(store: ImageStore, filled: Collection) -> None:
    """An image that is added or updated while others are copied is copied again; one that is deleted stays deleted."""
    name = filled.name
    async with store.moves.open(name, **NEW) as move:
        await copy_all(move)
        await put(store, name, new_image("added", OLD[30]), new_image("u1", OLD[31], {"n": 1}, content="other bytes"))
        await store.delete(name, [image_id_of("u2")], soon())
        assert await copy_changes(move) == ["added", "u1"]
        await switch(move)
    found = await uris(store, name, new_embedding("u1"), limit=50, space="new")
    assert sorted(found) == sorted(["added", *(f"u{n}" for n in range(20) if n != 2)])
    [record] = await store.lookup(name, ["u1"])
    assert record is not None
    assert record.sha256 == new_image("u1", OLD[31], content="other bytes").sha256


async def test_an_image_deleted_before_it_was_copied_is_not_brought_back(store: ImageStore, filled: Collection) -> None:
    """A run that read the record before the deletion copies it; the deletion is repeated then."""
    name = filled.name
    async with store.moves.open(name, **NEW) as move:
        [(_, missing)] = [page async for page in move.differences()]
        await store.delete(name, [image_id_of("u3")], soon())
        await copy(move, missing)
        await switch(move)
    assert "u3" not in await uris(store, name, new_embedding("u3"), limit=50, space="new")
    assert (await store.counts(name)).image_count == 19


async def test_writers_wait_for_the_seal_and_embed_again(store: ImageStore, filled: Collection) -> None:
    """A write that begins while the source is sealed is written once, into the space that is served then."""
    name = filled.name
    async with store.moves.open(name, **NEW) as move:
        await copy_all(move)
        async with move.sealed():
            writing = asyncio.create_task(store.put(name, [new_image("late", OLD[33])], soon(), space="space"))
            deleting = asyncio.create_task(store.delete(name, [image_id_of("u4")], soon()))
            await asyncio.sleep(0.3)
            assert not writing.done()
            assert not deleting.done()
            await copy_changes(move)
            await move.switch()
        [result] = await writing
        assert isinstance(result.error, SpaceChanged)
        assert (await deleting).image_count == 1
    late = new_image("late", new_embedding("late"))
    [result] = await store.put(name, [late], soon(), space="new")
    assert result.error is None
    found = await uris(store, name, new_embedding("late"), limit=50, space="new")
    assert found[0] == "late"
    assert "u4" not in found


async def test_waiting_writes_go_on_in_a_collection_that_is_opened_again(store: ImageStore, filled: Collection) -> None:
    """A pause ends without a switch: the writes go on in the old space."""
    name = filled.name
    async with store.moves.open(name, **NEW) as move:
        async with move.sealed():
            writing = asyncio.create_task(store.put(name, [new_image("late", OLD[33])], soon(), space="space"))
            await asyncio.sleep(0.2)
        [result] = await writing
        assert result.error is None
    assert (await uris(store, name, OLD[33], limit=1)) == ["late"]


async def test_a_second_run_is_refused(store: ImageStore, filled: Collection) -> None:
    """One run at a time."""
    async with store.moves.open(filled.name, **NEW):
        with pytest.raises(Aborted, match="another call"):
            async with store.moves.open(filled.name, **NEW):
                pass


async def test_the_lock_of_a_run_that_died_is_waited_for(
    store: ImageStore, filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody renews it, so that the next run begins when it has expired."""
    monkeypatch.setattr(locking, "LOCK_S", 1.0)
    assert await store.moves.locks._take(filled.name, "died") == 0
    await moved(store, filled.name)
    assert (await store.get(filled.name)).space == "new"


async def test_a_run_that_was_cut_off_goes_on(store: ImageStore, filled: Collection) -> None:
    """The next run copies only what is missing, which Redis forgot meanwhile or not."""
    name = filled.name
    async with store.moves.open(name, **NEW) as move:
        [(_, missing)] = [page async for page in move.differences()]
        await copy(move, missing[:12])
    assert (await store.get(name)).space == "space"
    async with store.moves.open(name, **NEW) as move:
        assert await copy_all(move) == 8
        await switch(move)
    assert (await store.counts(name)).image_count == 20


async def run_that_died(store: ImageStore, name: str) -> Move:
    """A run that copied and sealed all, and whose process died: nothing is cleaned up, and its lock has expired."""
    source = await store.get(name)
    target = await store.moves._target(source, replace(source, **NEW))
    move = Move(store.moves, source, target, "died")
    await move.begin()
    await copy_all(move)
    await store.moves.steps.set_token(source, "seal", "died", soon())
    return move


async def test_a_run_that_died_sealed_is_repaired_by_a_writer(store: ImageStore, filled: Collection) -> None:
    """A write opens the collection again, and the dead run, if it was only slow, cannot decide any more."""
    name, move = filled.name, await run_that_died(store, filled.name)
    assert await put(store, name, new_image("after", OLD[33])) == ["ADDED"]
    with pytest.raises(Aborted):
        await move.switch()
    assert (await store.get(name)).space == "space"
    assert await uris(store, name, OLD[33], limit=1) == ["after"]
    with pytest.raises(Aborted):
        await copy(move, [record for record in await store.lookup(name, ["after"]) if record])

    await moved(store, name)
    assert await uris(store, name, new_embedding("after"), limit=1, space="new") == ["after"]


async def test_a_run_that_died_behind_the_switch_is_finished(
    store: ImageStore, filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch is there, the rest is not: the next write or sweep opens the new side, and none is written to the old."""
    name, move = filled.name, await run_that_died(store, filled.name)
    with monkeypatch.context() as patched:
        patched.setattr(Serving, "_open", lambda *_: asyncio.sleep(0))
        await move.switch()
    assert (await store._definitions.fresh(name)).space == "new"
    await store.sweep(name)
    image = new_image("after", new_embedding("after"))
    [result] = await store.put(name, [image], soon(), space="new")
    assert result.error is None
    assert await uris(store, name, new_embedding("u5"), limit=1, space="new") == ["u5"]


async def test_another_process_learns_of_the_switch_with_its_next_question(
    store: ImageStore, filled: Collection, milvus_uri: str, redis_url: str
) -> None:
    """Whatever definition it remembers: what is acknowledged behind the switch is found by its next search."""
    name = filled.name
    async with opened(milvus_uri, redis_url) as other:
        await find(other, name, OLD[0], space="space")
        await moved(store, name)
        [result] = await store.put(name, [new_image("after", new_embedding("after"))], soon(), space="new")
        assert result.error is None
        with pytest.raises(SpaceChanged):
            await find(other, name, OLD[0], space="space")
        assert await uris(other, name, new_embedding("after"), limit=1, space="new") == ["after"]


async def test_a_lost_redis_does_not_undo_the_move(store: ImageStore, filled: Collection) -> None:
    """What is served stands in Milvus, and the records are rebuilt from its rows."""
    name = filled.name
    await moved(store, name)
    current = await store.get(name)
    await store._catalog.drop(current.store_name, soon())
    assert (await store.counts(name)).image_count == 20
    assert await uris(store, name, new_embedding("u5"), limit=1, space="new") == ["u5"]


async def test_a_dropped_collection_leaves_nothing(store: ImageStore, name: str) -> None:
    """Its name is free again, with nothing of the old one, whichever side was served."""
    for _ in range(2):
        await store.create(a_collection(name))
        await put(store, name, new_image("a", OLD[0]))
        await moved(store, name)
        await store.drop(name)
        with pytest.raises(NotFound):
            await store._definitions.fresh(name)
        assert (await store._rows.switches.stored()).of(name) == StoredNames(name)


@pytest.mark.parametrize("is_swept", [False, True])
async def test_a_drop_that_crashed_brings_nothing_back(
    store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch, *, is_swept: bool
) -> None:
    """What is served goes first: the old rows are not served again; the sweep or who takes the name deletes the rest."""
    await store.create(a_collection(name))
    await put(store, name, new_image("a", OLD[0]))
    await moved(store, name)
    dropped, drop_store = list[str](), RowStore.drop_store

    async def dying(self: RowStore, stored_as: str) -> None:
        if dropped:
            raise KeyboardInterrupt
        dropped.append(stored_as)
        await drop_store(self, stored_as)

    with monkeypatch.context() as patched:
        patched.setattr(RowStore, "drop_store", dying)
        with pytest.raises(KeyboardInterrupt):
            await store.drop(name)
    with pytest.raises(NotFound):
        await store._definitions.fresh(name)
    if is_swept:
        await store.drop_remains()
        assert (await store._rows.switches.stored()).of(name) == StoredNames(name)
    created = await store.create(a_collection(name))
    assert created.space == "space"
    assert (await store.counts(name)).image_count == 0
    await store.drop_remains()
    assert (await store.get(name)).space == "space"
    await store.drop(name)


async def test_a_collection_that_was_not_moved_is_stored_as_by_the_last_release(store: ImageStore, name: str) -> None:
    """So each release opens what the other created: its definition has no word of where it is stored."""
    created = await store.create(a_collection(name))
    description = orjson.loads(schema_of(created).description)
    fields = "name space encoder detector mode index dimension create_time_s generation"
    assert " ".join(description) == fields
    assert (await store._rows.switches.stored()).of(name).stores == (name,)
    await store.drop(name)


async def test_a_target_that_does_not_find_its_images_is_not_served(store: ImageStore, filled: Collection) -> None:
    """A switch needs as many images on both sides."""
    async with store.moves.open(filled.name, **NEW) as move:
        [(_, missing)] = [page async for page in move.differences()]
        await copy(move, missing[1:])
        with pytest.raises(Exception, match="19 of 20"):
            await move.verify()
    assert (await store.get(filled.name)).space == "space"
