"""A batch of queries: as many calls of Milvus as it has ways of asking, and the answers that each query gets alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rpc.errors import InvalidArgument, ServiceError
from services.stores.images import ImageStore
from services.stores.milvus.rows import Neighbor
from services.stores.milvus.store import RowStore
from services.stores.queries import NearestQuery
from services.stores.records import Collection
from tests.services.stores.making import find, near, new_image, put, soon, unit_embeddings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of embeddings in each search in Milvus."""
    calls: list[int] = []
    nearest = RowStore.nearest

    async def counting(self: RowStore, collection: Collection, embeddings: Any, *args: Any) -> list[list[Neighbor]]:
        calls.append(len(embeddings))
        return await nearest(self, collection, embeddings, *args)

    monkeypatch.setattr(RowStore, "nearest", counting)
    return calls


async def found(store: ImageStore, name: str, queries: Sequence[NearestQuery]) -> list[list[Any]]:
    """The uris and scores that each query finds, or the message of its error."""
    return [
        [outcome.message]
        if isinstance(outcome, ServiceError)
        else [(hit.record.uri, pytest.approx(hit.score, abs=1e-5)) for hit in outcome.hits]
        for outcome in await store.find(name, queries, soon())
    ]


async def test_a_batch_is_one_call_for_each_way_of_asking(
    store: ImageStore, whole_images: Collection, asked: list[int]
) -> None:
    """Queries that differ in their embeddings only share a call; each finds what it finds alone, and a wrong one fails alone."""
    embeddings = unit_embeddings(40)
    images = [new_image(f"{n:02}", embedding, {"even": n % 2 == 0}) for n, embedding in enumerate(embeddings)]
    await put(store, whole_images.name, *images)
    queries = [
        *(NearestQuery(embeddings[n : n + 1], limit=3) for n in range(5)),
        NearestQuery(embeddings[5:7], limit=3),
        *(NearestQuery(embeddings[n : n + 1], limit=3, filter="even = true") for n in range(2)),
        NearestQuery(embeddings[:1], limit=3, min_score=0.99),
        NearestQuery(embeddings[:1], limit=3, filter="even ="),
        NearestQuery(embeddings[:1] * 2, limit=3),
    ]

    outcomes = await found(store, whole_images.name, queries)

    assert sorted(asked) == [2, 8]
    assert "unit length" in outcomes[-1][0]
    for query, outcome in zip(queries[:-2], outcomes, strict=False):
        assert await found(store, whole_images.name, [query]) == [outcome]
    with pytest.raises(InvalidArgument, match="filter"):
        await find(store, whole_images.name, embeddings[:1], filter="even =")


async def test_a_large_batch_is_asked_in_turns(store: ImageStore, whole_images: Collection, asked: list[int]) -> None:
    """No call asks for more rows than a search for the largest page does, however many queries a batch has."""
    embeddings = unit_embeddings(64)
    await put(store, whole_images.name, *(new_image(f"{n}", embedding) for n, embedding in enumerate(embeddings)))
    outcomes = await found(store, whole_images.name, [NearestQuery(row[np.newaxis], limit=300) for row in embeddings])
    assert [outcome[0][0] for outcome in outcomes] == [str(n) for n in range(64)]
    assert sum(asked) == 64
    assert max(asked) == 5


async def test_only_the_query_that_needs_more_rows_is_asked_again(
    store: ImageStore, whole_images: Collection, asked: list[int]
) -> None:
    """Copies in front of one query's hits cost another round for that query alone."""
    one, other = unit_embeddings(2)
    copies = [new_image(f"copy/{n}", near(one, 0.9), content="same") for n in range(60)]
    await put(store, whole_images.name, *copies, *(new_image(f"{n}", near(other, n / 100)) for n in range(60, 90)))
    queries = [NearestQuery(embedding[np.newaxis], limit=5) for embedding in (one, other)]
    first, second = await found(store, whole_images.name, queries)
    assert len(first) == len(second) == 5
    assert second[0][0] == "89"
    assert asked[0] == 2
    assert set(asked[1:]) == {1}


async def test_a_page_goes_on_behind_a_hit_whatever_is_written_meanwhile(
    store: ImageStore, whole_images: Collection
) -> None:
    """Images that are added before the hit and hits that are deleted shift no page; of equal scores the uri decides."""
    [query] = unit_embeddings(1)
    scores = [0.9, 0.8, 0.7, 0.7, 0.7, 0.6, 0.5]
    images = [new_image(f"b/{n}", near(query, score)) for n, score in enumerate(scores)]
    await put(store, whole_images.name, *images)
    first = await find(store, whole_images.name, query, limit=4)
    assert [hit.record.uri for hit in first.hits] == ["b/0", "b/1", "b/2", "b/3"]

    await put(store, whole_images.name, *(new_image(f"a/{n}", near(query, 0.95)) for n in range(30)))
    await store.delete(whole_images.name, [first.hits[0].record.image_id], soon())
    rest = await find(store, whole_images.name, query, limit=4, offset=4, after=first.hits[-1].rank_key)
    assert [hit.record.uri for hit in rest.hits] == ["b/4", "b/5", "b/6"]
