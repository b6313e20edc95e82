"""A collection gets another name at once and for all; what it was called finds it until another one has that name."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rpc.errors import AlreadyExists, InvalidArgument, NotFound
from services.stores.images import ImageStore
from services.stores.milvus.names import Label, NameTable
from services.stores.records import Collection
from tests.services.stores.making import a_collection, find, new_image, opened, put, soon, unit_embeddings, uris
from tests.services.stores.moving import NEW, copy_all, moved, new_embedding, switch

OLD = unit_embeddings(20)


@pytest.fixture
async def filled(store: ImageStore, name: str) -> AsyncIterator[Collection]:
    """A collection of five images."""
    collection = await store.create(a_collection(name))
    await put(store, name, *(new_image(f"u{n}", OLD[n], {"n": n}) for n in range(5)))
    yield collection
    for each in await store.collections():
        if each.name.startswith(name):
            await store.drop(each.name)


def test_the_last_label_decides_and_a_former_name_finds_the_only_one_that_had_it() -> None:
    """A capital marks what is not a public name; what is not stored any more has none."""
    table = NameTable(
        ["a", "a_N1_b", "a_N2_c", "a_S1", "a_Rabc", "x", "x_N1_b", "x_N2_y", "gone_N1_z", "new_n1_b", "d", "d_N1_d"]
    )
    assert {each.name for each in table if each.stores} == {"c", "y", "new_n1_b", "d"}
    assert table.find("c") == table.find("a") == table.of("a")
    assert table.of("a").labels == (Label(1, "b"), Label(2, "c"))
    assert table.of("a").stores == ("a", "a_Rabc")
    assert table.of("a").switches == (1,)
    assert not table.find("b").stores  # two had it
    assert not table.find("z").stores
    assert table.owner("a") is None


async def test_a_renamed_collection_answers_under_both_names(
    store: ImageStore, filled: Collection, name: str, milvus_uri: str, redis_url: str
) -> None:
    """Searches and writes go on in every process; only the new name is listed, and a repetition changes nothing."""
    new = f"{name}_new"
    async with opened(milvus_uri, redis_url) as other:
        assert await uris(other, name, OLD[1], limit=1) == ["u1"]
        for _ in range(2):
            renamed = await store.update(name, new_name=new, display_name="My photos")
            assert (renamed.name, renamed.display_name) == (new, "My photos")
        for each in (store, other):
            await put(each, name, new_image("old", OLD[6]))
            await put(each, new, new_image("new", OLD[7]))
            for called in (name, new):
                assert await uris(each, called, OLD[1], limit=1) == ["u1"]
                assert await uris(each, called, OLD[7], limit=1) == ["new"]
                assert (await each._definitions.fresh(called)).name == new
    assert [each.name for each in await store.collections() if each.name.startswith(name)] == [new]
    await store._catalog.drop(renamed.store_name, soon())
    assert (await store.counts(new)).image_count == 7
    assert (await store.update(new, display_name="")).display_name == ""


async def test_a_former_name_can_be_given_again(
    store: ImageStore, filled: Collection, name: str, milvus_uri: str, redis_url: str
) -> None:
    """To a new collection or to another one: all processes follow, and neither loses an image."""
    async with opened(milvus_uri, redis_url) as other:
        await store.update(name, new_name=f"{name}_old")
        assert await uris(other, name, OLD[1], limit=1) == ["u1"]
        created = await store.create(replace(a_collection(name), display_name="The second"))
        assert (created.name, created.display_name) == (name, "The second")
        await put(other, name, new_image("second", OLD[8]))
        assert await uris(store, name, OLD[8]) == ["second"]
        assert (await store.counts(f"{name}_old")).image_count == 5

        await store.update(name, new_name=f"{name}_third")
        await store.update(f"{name}_old", new_name=name)
        assert (await find(other, name, OLD[1], limit=1)).hits[0].record.uri == "u1"
        assert await uris(other, f"{name}_third", OLD[8], limit=1) == ["second"]
    with pytest.raises(AlreadyExists):
        await store.create(a_collection(name))


async def test_names_that_are_taken_or_wrong_are_refused(store: ImageStore, filled: Collection, name: str) -> None:
    """And a former name deletes nothing."""
    await store.create(a_collection(f"{name}_b"))
    with pytest.raises(AlreadyExists):
        await store.update(name, new_name=f"{name}_b")
    with pytest.raises(InvalidArgument):
        await store.update(name, new_name="Not a name")
    with pytest.raises(NotFound):
        await store.update(f"{name}_nothing", new_name=f"{name}_c")
    await store.update(name, new_name=f"{name}_c")
    with pytest.raises(NotFound, match=f"{name}_c now"):
        await store.drop(name)
    await store.drop(f"{name}_c")
    for each in (name, f"{name}_c"):
        with pytest.raises(NotFound):
            await store._definitions.fresh(each)
    await store.create(a_collection(name))
    assert (await store.counts(name)).image_count == 0


async def test_two_that_want_one_name_do_not_both_get_it(store: ImageStore, filled: Collection, name: str) -> None:
    """Renaming and creating at the same time: one of them is refused."""
    await store.create(a_collection(f"{name}_b"))
    chosen = f"{name}_chosen"
    attempts = (
        store.update(name, new_name=chosen),
        store.update(f"{name}_b", new_name=chosen),
        store.create(a_collection(chosen)),
    )
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(each) for each in outcomes].count(AlreadyExists) == 2, outcomes
    assert (await store.get(chosen)).name == chosen


async def test_a_collection_is_renamed_while_it_moves(store: ImageStore, filled: Collection, name: str) -> None:
    """The move ends under the new name, and there is a way back from it."""
    async with store.moves.open(name, **NEW) as move:
        await copy_all(move)
        await store.update(name, new_name=f"{name}_new")
        await switch(move)
    for called in (name, f"{name}_new"):
        assert (await store._definitions.fresh(called)).name == f"{name}_new"
        assert await uris(store, called, new_embedding("u1"), limit=1, space="new") == ["u1"]
    former = await store.serving.former(f"{name}_new")
    await moved(store, f"{name}_new", space=former.space, encoder=former.encoder, dimension=former.dimension)
    await store._definitions.fresh(f"{name}_new")
    assert await uris(store, f"{name}_new", OLD[1], limit=1, space="space") == ["u1"]
