"""Hits compared with one another and with the query's parts: near duplicates, diversity, contributions."""

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from PIL import Image

from fovea.search.v1 import search_pb2
from services.search.diversity import spread
from services.search.near_duplicates import groups_of
from tests.services.stores.making import near, unit_embeddings
from tests.support.images import corners, encoded, plain
from tests.support.services import add, create, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

RED, GREEN = (search_pb2.QueryPart(image=encoded(plain(colour))) for colour in ("red", "green"))


async def found(search: "SearchServiceAsyncStub", name: str, **fields: Any) -> search_pb2.SearchResponse:
    return await search.Search(search_pb2.SearchRequest(collection=name, **fields))


@pytest.fixture
async def sizes(ingest: "IngestServiceAsyncStub", name: str) -> str:
    """Ten shades, each at three sizes."""
    await create(ingest, name)
    shades = {f"{n}": (230 - 20 * n, 30 + 20 * n, 10 * n) for n in range(10)}
    items = [
        item(f"{shade}/{size}", encoded(Image.new("RGB", (size, size), colour)))
        for shade, colour in shades.items()
        for size in (40, 60, 90)
    ]
    await add(ingest, name, *items, item("corners", encoded(corners())))
    return name


def test_near_duplicates_are_connected() -> None:
    """What is near to a member is one of the group, also where it is not near to the first; the rest stands alone."""
    [first, other] = unit_embeddings(2)
    chain = [near(first, cosine) for cosine in (1.0, 0.96, 0.84)]
    embeddings = np.stack([chain[0], other, chain[2], chain[1], near(other, 0.99)])
    assert chain[0] @ chain[2] < 0.9 < min(chain[0] @ chain[1], chain[1] @ chain[2])
    assert groups_of(embeddings, 0.9) == [[0, 2, 3], [1, 4]]
    assert groups_of(embeddings, 1.1) == [[0], [1], [2], [3], [4]]
    assert groups_of(embeddings[:0], 0.9) == []


def test_hits_of_two_clusters_alternate() -> None:
    """Of two clusters the better one leads and the other follows at once; without diversity the order is kept."""
    one, other = np.eye(2, 8, dtype=np.float32)
    embeddings = np.stack([one, near(one, 0.99), near(one, 0.98), other, near(other, 0.99)])
    scores = [0.9, 0.89, 0.88, 0.6, 0.59]
    assert spread(scores, embeddings, 0.0) == [0, 1, 2, 3, 4]
    assert spread(scores, embeddings, 0.5)[:2] == [0, 3]
    assert sorted(spread(scores, embeddings, 1.0)) == [0, 1, 2, 3, 4]
    assert spread([], embeddings[:0], 0.5) == []


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.5), (0.7, -0.4)])
async def test_contributions_add_up_to_the_score(
    search: "SearchServiceAsyncStub", sizes: str, weights: tuple[float, ...]
) -> None:
    """Each part's contribution stands under its position, parts of weight 0 have none, and pages keep them."""
    parts = [search_pb2.QueryPart(text="red", weight=0)]
    for part, weight in zip((RED, GREEN), weights, strict=False):
        parts.append(search_pb2.QueryPart(image=part.image, weight=weight))
    first = await found(search, sizes, parts=parts, explain=True, limit=5)
    second = await found(search, sizes, page_token=first.next_page_token)
    for hit in (*first.hits, *second.hits):
        assert [each.part for each in hit.contributions] == list(range(1, len(parts)))
        assert sum(each.score for each in hit.contributions) == pytest.approx(hit.score, abs=1e-4)
    assert not any(hit.contributions for hit in (await found(search, sizes, parts=parts)).hits)


async def test_other_sizes_of_an_image_are_one_hit_on_all_pages(search: "SearchServiceAsyncStub", sizes: str) -> None:
    """Each shade comes once, names its other sizes, and does not come again on a later page."""
    request = {"parts": [RED], "group_near_duplicates": True}
    whole = await found(search, sizes, limit=40, **request)
    assert not whole.next_page_token
    every = [hit.uri for hit in whole.hits] + [each.uri for hit in whole.hits for each in hit.near_duplicates]
    assert len(every) == len(set(every)) == 31
    best = whole.hits[0]
    assert {best.uri.split("/")[0], *(each.uri.split("/")[0] for each in best.near_duplicates)} >= {"0"}
    assert len(best.near_duplicates) >= 2
    assert all(each.score <= best.score for each in best.near_duplicates)
    pages = [await found(search, sizes, limit=1, **request)]
    while pages[-1].next_page_token:
        pages.append(await found(search, sizes, page_token=pages[-1].next_page_token))
    assert [hit for page in pages for hit in page.hits] == list(whole.hits)


async def test_diversity_reorders_and_pages_follow(search: "SearchServiceAsyncStub", sizes: str) -> None:
    """The best hit stays first, the second is unlike it, and pages put together are the whole order."""
    plainly = [hit.uri for hit in (await found(search, sizes, parts=[RED], limit=31)).hits]
    whole = [hit.uri for hit in (await found(search, sizes, parts=[RED], limit=31, diversity=0.6)).hits]
    assert (whole[0], sorted(whole)) == (plainly[0], sorted(plainly))
    assert whole[1] != plainly[1]
    page = await found(search, sizes, parts=[RED], limit=8, diversity=0.6)
    uris = [hit.uri for hit in page.hits]
    while page.next_page_token:
        page = await found(search, sizes, page_token=page.next_page_token)
        uris += [hit.uri for hit in page.hits]
    assert uris == whole


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
async def test_a_wrong_diversity_is_named(search: "SearchServiceAsyncStub", sizes: str, diversity: float) -> None:
    """It is a share."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await found(search, sizes, parts=[RED], diversity=diversity)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(refused.value.details()).startswith("diversity")
