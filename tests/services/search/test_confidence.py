"""Confidence: what scores of a query say, and that nothing is an answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from PIL import Image

from domain.calibration import Calibration
from fovea.search.v1 import search_pb2
from services.search.confidence import mixed
from tests.support.bundles import tiny_image_bundle, tiny_text_bundle
from tests.support.images import encoded, plain
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item, search_stub

if TYPE_CHECKING:
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

# With the bundle `tiny`, images of one colour have a cosine of more than .9, others of less than .8.
TINY = Calibration(intercept=-34.0, slope=40.0, lowest_score=0.85)


def test_more_likeness_is_more_confidence() -> None:
    """It is a probability, whatever the score."""
    confidences = [TINY.confidence(score) for score in (-1.0, 0.5, 0.85, 0.9, 1.0)]

    assert confidences == sorted(confidences)
    assert 0 < confidences[0] < confidences[-1] < 1
    assert TINY.confidence(0.85) == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [{"slope": -1.0}, {"slope": 0.0}, {"intercept": float("nan")}])
def test_a_calibration_makes_sense_or_is_refused(wrong: dict[str, float]) -> None:
    """Higher scores are never rated lower."""
    with pytest.raises(ValueError, match="calibration"):
        replace(TINY, **wrong)


def test_parts_that_pull_decide() -> None:
    """A mixture has the mean of their calibrations by weight; one that is not calibrated leaves nothing to say."""
    other = replace(TINY, intercept=-4.0)
    both = mixed([TINY, other], [1.0, 3.0])
    assert both is not None
    assert both.intercept == pytest.approx(-11.5)
    assert mixed([TINY, None], [1.0, -1.0]) == TINY
    assert mixed([TINY, None], [1.0, 1.0]) is None
    assert mixed([TINY], [-1.0]) is None


@asynccontextmanager
async def _searched(stores: Stores, folder: Path, name: str) -> AsyncIterator["SearchServiceAsyncStub"]:
    """A search service with a calibrated encoder of images, whose words are not, and a collection of thirty images."""
    image, text = tiny_image_bundle(folder / "tiny", calibration=TINY), tiny_text_bundle(folder / "tiny_text")
    with encoder_process(folder / "log", image.folder, text.folder) as address:
        async with ingest_stub(stores, address) as ingest, search_stub(stores, address) as search:
            await create(ingest, name)
            reds = [
                item(f"red{number}", encoded(Image.new("RGB", (96, 64), (255 - number, number, 0))))
                for number in range(10)
            ]
            blues = [
                item(f"blue{number}", encoded(Image.new("RGB", (96, 64), (0, number, 255 - number))))
                for number in range(20)
            ]
            await add(ingest, name, *reds, *blues)
            yield search


async def test_only_what_stands_out_is_returned(stores: Stores, tmp_path: Path, name: str) -> None:
    """Over all pages; nothing where nothing looks like the query; and every hit says how sure it is."""

    async def found(**fields: Any) -> search_pb2.SearchResponse:
        return await search.Search(search_pb2.SearchRequest(collection=name, **fields))

    async with _searched(stores, tmp_path, name) as search:
        red = [search_pb2.QueryPart(image=encoded(plain("red")))]
        everything = await found(parts=red, limit=30)
        confidences = [hit.confidence for hit in everything.hits]
        assert len(confidences) == 30
        assert confidences == sorted(confidences, reverse=True)
        assert confidences[0] > 0.9
        assert confidences[-1] < 0.1

        first = await found(parts=red, limit=6, relevance=True)
        rest = await found(page_token=first.next_page_token)
        assert [hit.uri[:3] for hit in [*first.hits, *rest.hits]] == ["red"] * 10
        assert [hit.confidence for hit in rest.hits] == pytest.approx(confidences[6:10])
        assert not rest.next_page_token
        assert not (await found(parts=[search_pb2.QueryPart(image=encoded(plain("green")))], relevance=True)).hits

        words = [search_pb2.QueryPart(text="red")]
        assert not (await found(parts=words)).hits[0].HasField("confidence")
        with pytest.raises(grpc.aio.AioRpcError, match="not calibrated") as refused:
            await found(parts=words, relevance=True)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        stored = everything.hits[0].image_id
        assert (await found(parts=[search_pb2.QueryPart(image_id=stored)])).hits[0].confidence > 0.9
