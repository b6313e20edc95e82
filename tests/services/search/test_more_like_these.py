"""More like these, less like those: several stored images with weights are one query."""

from typing import TYPE_CHECKING

import pytest

from fovea.search.v1 import search_pb2
from services.stores.records import image_id_of
from tests.support.images import COLOURS, encoded, plain
from tests.support.services import add, create, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub


@pytest.fixture
async def colours(ingest: "IngestServiceAsyncStub", name: str) -> str:
    """A plain image of each colour."""
    await create(ingest, name)
    await add(ingest, name, *(item(colour, encoded(plain(colour))) for colour in COLOURS))
    return name


async def scores(search: "SearchServiceAsyncStub", name: str, *weighted: tuple[str, float]) -> dict[str, float]:
    """The score of each colour for stored images with weights."""
    parts = [search_pb2.QueryPart(image_id=image_id_of(colour), weight=weight) for colour, weight in weighted]
    response = await search.Search(search_pb2.SearchRequest(collection=name, parts=parts))
    return {hit.uri: hit.score for hit in response.hits}


async def test_a_set_is_averaged(search: "SearchServiceAsyncStub", colours: str) -> None:
    """Each of two images is as near to their average as the other, and nothing is nearer; naming one twice is weight 2."""
    both = await scores(search, colours, ("red", 1), ("blue", 1))
    assert both["red"] == pytest.approx(both["blue"], abs=1e-4)
    assert set(sorted(both, key=lambda colour: -both[colour])[:2]) == {"red", "blue"}
    twice = await scores(search, colours, ("red", 1), ("red", 1), ("blue", 1))
    assert twice == pytest.approx(await scores(search, colours, ("red", 2), ("blue", 1)), abs=1e-4)
    assert twice["red"] > twice["blue"]


@pytest.mark.parametrize("unwanted", ["blue", "yellow", "white"])
async def test_what_is_unwanted_moves_down(search: "SearchServiceAsyncStub", colours: str, unwanted: str) -> None:
    """The more so the more negative its weight is, and the others stay before it."""
    liked = [("red", 1.0), ("green", 1.0)]
    falling = [(await scores(search, colours, *liked, (unwanted, weight)))[unwanted] for weight in (0, -0.3, -0.8)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > falling[2]
    pushed = await scores(search, colours, *liked, (unwanted, -0.8))
    assert min(pushed["red"], pushed["green"]) > pushed[unwanted]


async def test_sixteen_images_are_one_query(search: "SearchServiceAsyncStub", colours: str) -> None:
    """As many as a query has parts."""
    names = list(COLOURS)
    weighted = [(names[n % len(names)], 1.0 if n % 3 else -0.2) for n in range(16)]
    assert len(await scores(search, colours, *weighted)) == len(COLOURS)
