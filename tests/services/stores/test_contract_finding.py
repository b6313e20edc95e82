"""What is found: ranked, grouped, folded, filtered, paged."""

import hashlib

import numpy as np
import pytest
from pymilvus import AsyncMilvusClient
from pymilvus.exceptions import MilvusException

from domain.detection import Detection
from rpc.errors import FailedPrecondition, InvalidArgument, OutOfRange, Unavailable
from services.stores.filters.expression import Engine
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, image_id_of
from tests.services.stores.making import a_collection, find, near, new_image, put, unit_embeddings, uris


async def test_hits_come_best_first_with_their_cosine(store: ImageStore, whole_images: Collection) -> None:
    """Scores are cosines and never rise from one hit to the next."""
    [query] = unit_embeddings(1)
    cosines = [0.9, -0.5, 0.3, 0.99, 0.0]
    await put(store, whole_images.name, *(new_image(f"{cosine}", near(query, cosine)) for cosine in cosines))

    hits = (await find(store, whole_images.name, query)).hits
    assert [hit.record.uri for hit in hits] == ["0.99", "0.9", "0.3", "0.0", "-0.5"]
    assert [hit.score for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-4)


async def test_pages_follow_one_another(store: ImageStore, whole_images: Collection) -> None:
    """Pages put together are the whole ranking; a page past the end is empty."""
    embeddings = unit_embeddings(30)
    await put(store, whole_images.name, *(new_image(f"p/{i}", embedding) for i, embedding in enumerate(embeddings)))

    whole = await uris(store, whole_images.name, embeddings[0], limit=30)
    pages = [await uris(store, whole_images.name, embeddings[0], limit=7, offset=offset) for offset in range(0, 42, 7)]
    assert [uri for page in pages for uri in page] == whole
    assert pages[-1] == []
    assert len(set(whole)) == 30


async def test_min_score_cuts_the_tail(store: ImageStore, whole_images: Collection) -> None:
    """Hits below min_score are left out."""
    [query] = unit_embeddings(1)
    await put(store, whole_images.name, new_image("near", near(query, 0.9)), new_image("far", near(query, 0.2)))

    assert await uris(store, whole_images.name, query, min_score=0.5) == ["near"]
    assert await uris(store, whole_images.name, query, min_score=0.95) == []


async def test_exact_is_the_true_ranking(store: ImageStore, name: str) -> None:
    """Exact search compares with every embedding whatever the index is, and honours the filter."""
    embeddings = unit_embeddings(400)
    [query] = unit_embeddings(1, seed=5)
    truth = [str(i) for i in np.argsort(-(embeddings @ query))]
    even = [uri for uri in truth if int(uri) % 2 == 0]
    for index in {Engine.LITE: ["FLAT", "IVF_FLAT"], Engine.SERVER: ["FLAT", "HNSW", "IVF_PQ"]}[store._rows.engine]:
        await store.create(a_collection(name, index=index))
        await put(store, name, *(new_image(f"{i}", embeddings[i], {"even": i % 2 == 0}) for i in range(400)))

        assert await uris(store, name, query, limit=25, exact=True) == truth[:25]
        found = await uris(store, name, query, limit=10, offset=5, exact=True, filter="even = true")
        assert found == even[5:15]
        await store.drop(name)


async def test_copies_are_folded_into_one_hit(store: ImageStore, whole_images: Collection) -> None:
    """The same bytes under several uris are one hit that names its copies, unless folding is off."""
    [query] = unit_embeddings(1)
    await put(
        store,
        whole_images.name,
        *(new_image(uri, near(query, 0.9), content="same") for uri in ("b/copy", "a/original", "c/copy")),
        new_image("other", near(query, 0.8)),
    )

    hits = (await find(store, whole_images.name, query)).hits
    assert [hit.record.uri for hit in hits] == ["a/original", "other"]
    assert hits[0].copies == ("b/copy", "c/copy")
    unfolded = await uris(store, whole_images.name, query, fold_copies=False)
    assert sorted(unfolded[:3]) == ["a/original", "b/copy", "c/copy"]
    assert unfolded[3:] == ["other"]


async def test_many_copies_do_not_hide_the_rest(store: ImageStore, whole_images: Collection) -> None:
    """A page is filled even when more copies stand before it than are fetched at first."""
    [query] = unit_embeddings(1)
    copies = [new_image(f"copy/{i:03}", near(query, 0.95), content="same") for i in range(120)]
    await put(
        store, whole_images.name, *copies, new_image("second", near(query, 0.5)), new_image("third", near(query, 0.4))
    )

    hits = (await find(store, whole_images.name, query, limit=3)).hits
    assert [hit.record.uri for hit in hits] == ["copy/000", "second", "third"]
    assert (len(hits[0].copies), hits[0].copy_count) == (100, 119)


async def test_groups_show_the_best_region(store: ImageStore, name: str) -> None:
    """By default an image is one hit with its best region; without grouping each region is a hit."""
    await store.create(a_collection(name, CollectionMode.OBJECTS))
    [query] = unit_embeddings(1)
    regions = [Detection((0.0, 0.0, 0.5, 0.5), "far", 0.5, 0), Detection((0.5, 0.0, 1.0, 0.5), "near", 0.9, 1)]
    await put(
        store,
        name,
        new_image("two", np.stack([near(query, 0.1), near(query, 0.9)]), regions=regions),
        new_image("one", near(query, 0.5), regions=[Detection((0.0, 0.0, 1.0, 1.0), "mid", 0.7, 2)]),
        new_image("none", near(query, 0.3)),
    )

    hits = (await find(store, name, query)).hits
    assert [(hit.record.uri, hit.region.label if hit.region else None) for hit in hits] == [
        ("two", "near"),
        ("one", "mid"),
        ("none", None),
    ]
    assert await uris(store, name, query, group_by_image=False) == ["two", "one", "none", "two"]
    assert await uris(store, name, query, filter="$label = 'far' or $score >= 0.9") == ["two"]
    await store.drop(name)


async def test_several_queries_share_one_ranking(store: ImageStore, whole_images: Collection) -> None:
    """With several query embeddings an image counts with its best one, and says which."""
    first, second = unit_embeddings(2)
    await put(store, whole_images.name, new_image("a", near(first, 0.9)), new_image("b", near(second, 0.95)))

    hits = (await find(store, whole_images.name, np.stack([first, second]))).hits
    assert [(hit.record.uri, hit.query_position) for hit in hits] == [("b", 1), ("a", 0)]


async def test_listing_pages_by_image_id(store: ImageStore, whole_images: Collection) -> None:
    """Pages list every image once, in order of image_id, with and without a filter."""
    embeddings = unit_embeddings(40)
    await put(store, whole_images.name, *(new_image(f"p/{i}", embeddings[i], {"i": i}) for i in range(40)))

    for filter_text, expected in (("", 40), ("i < 25", 25), ("i > 100", 0)):
        listed, token = [], ""
        while True:
            records, token = await store.page(whole_images.name, filter=filter_text, page_size=7, page_token=token)
            listed += [record.image_id for record in records]
            if not token:
                break
        assert listed == sorted(set(listed))
        assert len(listed) == expected
        assert await store.ids_matching(whole_images.name, filter_text) == listed


async def test_filters_follow_updates(store: ImageStore, whole_images: Collection) -> None:
    """The old version of an image does not answer for the new one, in a listing as in a search."""
    [embedding] = unit_embeddings(1)
    await put(store, whole_images.name, new_image("p", embedding, {"a": 1}))
    await put(store, whole_images.name, new_image("p", embedding, {"a": 2}))

    assert await store.ids_matching(whole_images.name, "a = 1") == []
    assert await store.ids_matching(whole_images.name, "a = 2") == [image_id_of("p")]


async def test_bad_queries_are_refused(store: ImageStore, whole_images: Collection) -> None:
    """Each refusal names the field at fault, and the next query works."""
    [embedding] = unit_embeddings(1)
    await put(store, whole_images.name, new_image("p", embedding))

    for refused, field in (
        (find(store, whole_images.name, embedding, limit=0), "limit"),
        (find(store, whole_images.name, embedding, offset=-1), "offset"),
        (find(store, whole_images.name, embedding[:3]), "embedding"),
        (find(store, whole_images.name, embedding * np.nan), "embedding"),
        (find(store, whole_images.name, embedding, filter="a ="), "filter.*position 3"),
        (find(store, whole_images.name, embedding, min_score=float("nan")), "min_score"),
        (store.page(whole_images.name, page_size=3, page_token="x"), "page_token"),  # noqa: S106
    ):
        with pytest.raises(InvalidArgument, match=field):
            await refused
    with pytest.raises(FailedPrecondition, match="space"):
        await find(store, whole_images.name, embedding, space="another")
    with pytest.raises(OutOfRange, match="offset"):
        await find(store, whole_images.name, embedding, limit=1, offset=16_384)
    assert await uris(store, whole_images.name, embedding) == ["p"]


async def test_same_bytes_are_the_same_whatever_the_uri(store: ImageStore, whole_images: Collection) -> None:
    """Copies keep records of their own."""
    [embedding] = unit_embeddings(1)
    await put(store, whole_images.name, new_image("a", embedding, content="x"), new_image("b", embedding, content="x"))

    sha256 = hashlib.sha256(b"x").hexdigest()
    assert [(await store.image(whole_images.name, image_id_of(uri))).record.sha256 for uri in "ab"] == [sha256, sha256]


async def test_readiness_asks_what_a_search_needs(
    store: ImageStore, whole_images: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Milvus that lists its collections and answers no query, as one that is going down does, is not ready."""

    async def broken(*_: object, **__: object) -> None:
        raise MilvusException(message="no available query node")

    await store.ping()
    with monkeypatch.context() as patched:
        patched.setattr(AsyncMilvusClient, "query", broken)
        for ask in (store.ping, store.ping_milvus):
            with pytest.raises(Unavailable):
                await ask()
    await store.ping_milvus()
