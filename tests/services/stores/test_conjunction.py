"""Regions that have to match together: the ranking by the worst of the best matches is the true one."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from domain.detection import Detection
from services.stores import conjunction
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, Embeddings
from tests.services.stores.making import a_collection, find, near, new_image, put, unit_embeddings

QUERY = unit_embeddings(3, seed=4)


def regions_of(number: int) -> list[Detection]:
    """One to four regions with labels."""
    return [Detection((0.1 * n, 0.0, 0.1 * n + 0.1, 1.0), f"r{n}", 0.9, n) for n in range(1 + number % 4)]


def drawn(count: int) -> dict[str, Embeddings]:
    """Random regions by uri."""
    pool = unit_embeddings(4 * count, seed=1)
    return {f"{n:03}": pool[4 * n : 4 * n + len(regions_of(n))] for n in range(count)}


def brute_force(images: dict[str, Embeddings]) -> list[tuple[str, float]]:
    """The images and their scores, best first."""
    scores = {uri: float((QUERY @ embeddings.T).max(axis=1).min()) for uri, embeddings in images.items()}
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


@pytest.fixture
async def objects(store: ImageStore, name: str) -> AsyncIterator[Collection]:
    """An empty collection of objects."""
    yield await store.create(a_collection(name, CollectionMode.OBJECTS))
    await store.drop(name)


async def fill(store: ImageStore, collection: Collection, images: dict[str, Embeddings]) -> None:
    news = [
        new_image(uri, embeddings, {"even": int(uri) % 2 == 0}, regions=regions_of(int(uri)))
        for uri, embeddings in images.items()
    ]
    await put(store, collection.name, *news)


async def test_the_worst_of_the_best_matches_ranks(
    store: ImageStore, objects: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by brute force, for small and large pages, with filters, and where few images fit into one comparison."""
    images = drawn(150)
    await fill(store, objects, images)
    truth = brute_force(images)
    for limit in (1, 5, 40, 150):
        hits = (await find(store, objects.name, QUERY, limit=limit, match_all=True)).hits
        assert [hit.record.uri for hit in hits] == [uri for uri, _ in truth[:limit]]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in truth[:limit]], abs=1e-4)
    first = await find(store, objects.name, QUERY, limit=10, match_all=True)
    rest = await find(
        store, objects.name, QUERY, limit=10, offset=10, after=first.hits[-1].rank_key, match_all=True, filter=""
    )
    assert [hit.record.uri for hit in (*first.hits, *rest.hits)] == [uri for uri, _ in truth[:20]]
    even = await find(store, objects.name, QUERY, limit=10, match_all=True, filter="even = true", exact=True)
    assert [hit.record.uri for hit in even.hits] == [uri for uri, _ in truth if int(uri) % 2 == 0][:10]
    cut = await find(store, objects.name, QUERY, limit=150, match_all=True, min_score=truth[6][1] - 1e-4)
    assert len(cut.hits) == 7

    monkeypatch.setattr(conjunction, "MAX_COMPARED_ROWS", 30)
    hits = (await find(store, objects.name, QUERY, limit=3, match_all=True)).hits
    assert [hit.record.uri for hit in hits] == [uri for uri, _ in truth[:3]]


async def test_a_hit_says_what_each_region_matched(store: ImageStore, objects: Collection) -> None:
    """`matches` has the best region for each of the query; the hit stands for the worst of them; copies are folded."""
    both = np.stack([near(QUERY[0], 0.9), near(QUERY[1], 0.8), near(QUERY[2], 0.7)])
    regions = regions_of(2)
    await put(
        store,
        objects.name,
        new_image("both", both, regions=regions, content="same"),
        new_image("copy", both, regions=regions, content="same"),
        new_image("one", near(QUERY[0], 1.0), regions=regions[:1]),
    )
    hits = (await find(store, objects.name, QUERY, match_all=True)).hits
    best = hits[0]
    assert (best.record.uri, best.copies, best.query_position) == ("both", ("copy",), 2)
    assert [(match.query_position, match.region) for match in best.matches] == list(enumerate(regions))
    assert [match.score for match in best.matches] == pytest.approx([0.9, 0.8, 0.7], abs=1e-4)
    assert best.score == best.matches[2].score
    assert (hits[1].record.uri, len(hits)) == ("one", 2)
    assert (await find(store, objects.name, QUERY)).hits[0].record.uri == "one"
    labelled = await find(store, objects.name, QUERY, match_all=True, filter="$label = 'r0' and $score > 0.5")
    assert {hit.region.label for hit in labelled.hits if hit.region} == {"r0"}


async def test_regions_of_a_query_are_compared_with_whole_images(store: ImageStore, whole_images: Collection) -> None:
    """In a collection of whole images the worst cosine ranks."""
    images = {f"{n}": embedding[np.newaxis] for n, embedding in enumerate(unit_embeddings(60, seed=2))}
    await put(store, whole_images.name, *(new_image(uri, embeddings) for uri, embeddings in images.items()))
    hits = (await find(store, whole_images.name, QUERY, limit=7, match_all=True)).hits
    assert [hit.record.uri for hit in hits] == [uri for uri, _ in brute_force(images)[:7]]
    assert all(match.region is None for hit in hits for match in hit.matches)
