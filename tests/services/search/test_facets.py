"""Facets count the values of metadata in a collection and among hits, bounded."""

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from fovea.search.v1 import search_pb2
from services.search import facets
from tests.support.images import blocks, encoded, plain
from tests.support.services import add, create, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

METADATA: tuple[dict[str, Any], ...] = (
    {"colour": "red", "price": 5, "tags": ["a", "b", "a"], "shop": {"city": "Rome"}, "new": True},
    {"colour": "red", "price": 5, "tags": ["b"], "shop": {"city": "Oslo"}, "new": 1},
    {"colour": "blue", "price": 7.5, "tags": [], "shop": "none"},
    {"colour": None, "camera make": "K"},
    {"colour": "x" * 300},
)


@pytest.fixture
async def goods(ingest: "IngestServiceAsyncStub", name: str) -> str:
    """Five images with metadata of all kinds."""
    await create(ingest, name)
    images = [encoded(plain("red", size=(40 + n, 40))) for n in range(len(METADATA))]
    items = [item(f"{n}", image, **METADATA[n]) for n, image in enumerate(images)]
    assert not any(answer.HasField("error") for answer in await add(ingest, name, *items))
    return name


def read(found: Any) -> dict[str, list[tuple[Any, int]]]:
    """The values and counts by field."""
    return {
        facet.field: [(getattr(each.value, each.value.WhichOneof("kind")), each.count) for each in facet.values]
        for facet in found
    }


async def count(search: "SearchServiceAsyncStub", name: str, *fields: str, where: str = "") -> Any:
    request = search_pb2.CountFacetsRequest(collection=name, fields=fields, filter=where)
    return await search.CountFacets(request)


async def test_values_of_a_collection_are_counted(search: "SearchServiceAsyncStub", goods: str) -> None:
    """Texts, numbers, truths, items of lists and nested keys, most frequent first; long texts are counted apart."""
    response = await count(search, goods, "colour", "price", "tags", "shop.city", "new", "`camera make`", "$width_px")
    assert read(response.facets) == {
        "colour": [("red", 2), ("blue", 1)],
        "price": [(5, 2), (7.5, 1)],
        "tags": [("b", 2), ("a", 1)],
        "shop.city": [("Oslo", 1), ("Rome", 1)],
        "new": [(1, 1), (True, 1)],
        "`camera make`": [("K", 1)],
        "$width_px": [(40 + n, 1) for n in range(5)],
    }
    assert response.facets[0].other_count == 1
    assert (response.image_count, response.is_complete) == (5, True)
    filtered = await count(search, goods, "colour", where="price < 6")
    assert (read(filtered.facets), filtered.image_count) == ({"colour": [("red", 2)]}, 2)


async def test_large_collections_are_sampled_and_lists_cut(
    search: "SearchServiceAsyncStub", goods: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not counted or shown is said."""
    monkeypatch.setattr(facets, "PAGE_SIZE", 2)
    monkeypatch.setattr(facets, "COUNTED_IMAGES", 3)
    monkeypatch.setattr(facets, "MAX_FACET_VALUES", 1)
    response = await count(search, goods, "$width_px")
    assert (response.image_count, response.is_complete) == (4, False)
    assert (len(response.facets[0].values), response.facets[0].other_count) == (1, 3)


async def test_facets_of_hits_are_of_all_pages(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", name: str
) -> None:
    """A search counts among all its hits, with the label of what matched."""
    await create(ingest, name, objects=True)
    for n, colour in enumerate(("red", "red", "blue")):
        scene = encoded(blocks({colour: (0.2, 0.2, 0.6, 0.7)}, size=(160 + n, 120)))
        await add(ingest, name, item(f"{n}", scene, shop="left" if n else "right"))
    request = search_pb2.SearchRequest(
        collection=name,
        parts=[search_pb2.QueryPart(image=encoded(plain("red")))],
        limit=1,
        facets=["$label", "shop"],
        filter="$label != 'green'",
    )
    response = await search.Search(request)
    assert len(response.hits) == 1
    assert read(response.facets) == {"$label": [("red", 2), ("blue", 1)], "shop": [("left", 2), ("right", 1)]}
    following = await search.Search(search_pb2.SearchRequest(collection=name, page_token=response.next_page_token))
    assert not following.facets


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([], "name a field"),
        (["a"] * 9, "at most 8"),
        (["a b"], "is not the name of a field"),
        (["a or b"], "is not the name of a field"),
        (["$uri"], "cannot be counted"),
        (["$label"], "cannot be counted"),
    ],
)
async def test_what_cannot_be_counted_is_named(
    search: "SearchServiceAsyncStub", goods: str, fields: list[str], words: str
) -> None:
    """A sentence says what to write instead."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await count(search, goods, *fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(refused.value.details())
