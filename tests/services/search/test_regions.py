"""Several regions of one image: any of them, or all of them together in one image."""

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from domain.box import Box
from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2
from tests.support.images import blocks, encoded, plain
from tests.support.services import add, create, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

LEFT, RIGHT = (0.1, 0.1, 0.4, 0.6), (0.6, 0.4, 0.9, 0.9)
SCENE = encoded(blocks({"red": LEFT, "blue": RIGHT}))


def box(edges: Box) -> types_pb2.Box:
    return types_pb2.Box(x_min=edges[0], y_min=edges[1], x_max=edges[2], y_max=edges[3])


async def found(
    search: "SearchServiceAsyncStub",
    name: str,
    *,
    limit: int = 10,
    where: str = "",
    **part: Any,
) -> search_pb2.SearchResponse:
    parts = [search_pb2.QueryPart(image=SCENE, **part)]
    return await search.Search(search_pb2.SearchRequest(collection=name, parts=parts, limit=limit, filter=where))


@pytest.fixture
async def scenes(ingest: "IngestServiceAsyncStub", name: str) -> str:
    """Objects of ten images with red and blue, and of ten each that have red, blue, or red and green."""
    await create(ingest, name, objects=True)
    kinds = {"both": ("red", "blue"), "red": ("red",), "blue": ("blue",), "other": ("red", "green")}
    items = []
    for kind, colours in kinds.items():
        for n in range(10):
            shift = 0.02 * n
            placed = {
                colour: (0.05 + at + shift / 2, 0.1 + shift, 0.35 + at + shift / 2, 0.5 + shift)
                for colour, at in zip(colours, (0.0, 0.5), strict=False)
            }
            items.append(item(f"{kind} {n}", encoded(blocks(placed)), kind=kind))
    await add(ingest, name, *items)
    return name


async def test_all_regions_find_the_images_that_have_both(search: "SearchServiceAsyncStub", scenes: str) -> None:
    """Of ten hits nine or more have both objects; any of the regions alone also finds those that have one."""
    together = await found(search, scenes, regions=[box(LEFT), box(RIGHT)], match=search_pb2.REGION_MATCH_ALL)
    apart = await found(search, scenes, regions=[box(LEFT), box(RIGHT)])
    share = {
        name: sum(hit.metadata["kind"] == "both" for hit in response.hits) / 10
        for name, response in (("all", together), ("any", apart))
    }
    assert share["all"] >= 0.9 > share["any"]
    assert [region.box for region in together.query_regions] == [box(LEFT), box(RIGHT)]
    for hit in together.hits:
        assert [match.query_region for match in hit.matches] == [0, 1]
        assert hit.score == min(match.score for match in hit.matches)
    assert [match.label for match in together.hits[0].matches] == ["red", "blue"]
    assert not any(hit.matches for hit in apart.hits)
    assert all(hit.HasField("query_region") for hit in apart.hits)


async def test_objects_that_are_detected_and_stored_match_together(
    search: "SearchServiceAsyncStub", scenes: str
) -> None:
    """`match` counts for `detect` and for a stored image as well."""
    detected = await found(search, scenes, detect=True, match=search_pb2.REGION_MATCH_ALL)
    assert {match.label for match in detected.hits[0].matches} == {"red", "blue"}
    stored = search_pb2.QueryPart(image_id=detected.hits[0].image_id, match=search_pb2.REGION_MATCH_ALL)
    response = await search.Search(search_pb2.SearchRequest(collection=scenes, parts=[stored]))
    assert response.hits[0].image_id == detected.hits[0].image_id
    assert response.hits[0].score == pytest.approx(1, abs=1e-4)


async def test_label_and_score_choose_among_regions(search: "SearchServiceAsyncStub", scenes: str) -> None:
    """`$label` and `$score` are those of the region that matches."""
    response = await found(search, scenes, regions=[box(LEFT), box(RIGHT)], where="$label = 'blue' and $score >= 0.5")
    assert {hit.label for hit in response.hits} == {"blue"}
    assert {hit.metadata["kind"] for hit in response.hits} <= {"both", "blue"}
    assert not (await found(search, scenes, region=box(LEFT), where="$score > 1")).hits


async def test_pages_of_regions_that_match_together_follow_by_token(
    search: "SearchServiceAsyncStub", scenes: str
) -> None:
    """The token keeps the regions and how they match."""
    query: dict[str, Any] = {"regions": [box(LEFT), box(RIGHT)], "match": search_pb2.REGION_MATCH_ALL}
    whole = await found(search, scenes, limit=12, **query)
    first = await found(search, scenes, limit=6, **query)
    second = await search.Search(search_pb2.SearchRequest(collection=scenes, page_token=first.next_page_token))
    assert [hit.uri for hit in (*first.hits, *second.hits)] == [hit.uri for hit in whole.hits]
    assert second.query_regions == whole.query_regions
    assert second.hits[0].matches == whole.hits[6].matches


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"regions": [box((0.5, 0.5, 0.4, 0.9))]}, "parts[0].regions: it must lie inside"),
        ({"regions": [box(LEFT)] * 33}, "at most 32"),
        ({"regions": [box(LEFT)], "region": box(LEFT)}, "either region or regions"),
        ({"regions": [box(LEFT)], "detect": True}, "either regions or detect"),
        ({"regions": [box(LEFT), box(RIGHT)], "weight": -1}, "parts[0].weight"),
        ({"text": "red", "match": search_pb2.REGION_MATCH_ALL}, "parts[0].match"),
        ({"text": "red", "regions": [box(LEFT)]}, "parts[0].regions"),
    ],
)
async def test_wrong_regions_are_named(
    search: "SearchServiceAsyncStub", scenes: str, part: dict[str, Any], words: str
) -> None:
    """The sentence names the field."""
    content: dict[str, Any] = {} if "text" in part else {"image": encoded(plain("red"))}
    parts = [search_pb2.QueryPart(**content, **part)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await search.Search(search_pb2.SearchRequest(collection=scenes, parts=parts))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(refused.value.details())


async def test_all_regions_need_hits_that_are_images(search: "SearchServiceAsyncStub", scenes: str) -> None:
    """A hit for each region and all regions in one hit exclude each other."""
    part = search_pb2.QueryPart(image=SCENE, detect=True, match=search_pb2.REGION_MATCH_ALL)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await search.Search(search_pb2.SearchRequest(collection=scenes, parts=[part], group_by_image=False))
    assert str(refused.value.details()).startswith("group_by_image")
