"""The known result on real photos, through the whole system: encoder, ingest, Milvus, Redis, search."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from fovea.search.v1 import search_pb2
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item, search_stub

if TYPE_CHECKING:
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

REALDATA = Path(__file__).parents[3] / "shared" / "realdata"
GROCERY = REALDATA / "grocery"
SPEC = ImageSpec.of({"size": [224, 224], "mean": 127.5, "std": 127.5, "input": "image", "output": "embedding"})
BATCH = 32
TOLERANCE = 0.01

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos and weights of ../shared/realdata"),
]


@dataclass(frozen=True, slots=True)
class Quality:
    """How well photos are found, each asked for by itself and left out of its own answer."""

    precision_at_1: float
    recall_at_5: float
    mean_average_precision: float


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an encoder process that serves the imported MobileNetV2."""
    folder = tmp_path_factory.mktemp("mobilenet")
    source = REALDATA / "bundles" / "mobilenet_v2_imagenet.onnx"
    bundle = import_onnx(source, name="mobilenet_v2", spec=SPEC, out=folder)
    with encoder_process(folder / "log", bundle.folder) as address:
        yield address


async def test_grocery_is_found_as_well_as_known(stores: Stores, mobilenet: str, name: str) -> None:
    """Exact search gives P@1 .902, R@5 .963, mAP .701, and a rerun of the ingest changes nothing."""
    quality = await measured(stores, mobilenet, name, exact=True)
    assert quality.precision_at_1 == pytest.approx(0.902, abs=TOLERANCE)
    assert quality.recall_at_5 == pytest.approx(0.963, abs=TOLERANCE)
    assert quality.mean_average_precision == pytest.approx(0.701, abs=TOLERANCE)


@pytest.mark.standalone
async def test_grocery_is_found_as_well_with_hnsw(
    milvus_standalone_uri: str, redis_url: str, mobilenet: str, name: str
) -> None:
    """The index of the real Milvus loses nothing at this size."""
    stores = Stores(milvus_standalone_uri, redis_url)
    quality = await measured(stores, mobilenet, name, exact=False, index="HNSW")
    assert quality.precision_at_1 == pytest.approx(0.902, abs=TOLERANCE)


async def measured(stores: Stores, encoder: str, name: str, *, exact: bool, index: str = "") -> Quality:
    """Ingest the validation photos by their paths, ask with each photo's bytes, and rate the answers."""
    classes = fine_classes()
    items = [item(path) for path in classes]
    async with ingest_stub(stores, encoder, roots=(GROCERY,)) as ingest:
        await create(ingest, name, encoder="mobilenet_v2", index=index)
        assert {answer.status for answer in await add(ingest, name, *items)} == {1}, "all are added"
        assert {answer.status for answer in await add(ingest, name, *items)} == {2}, "all are unchanged"
    async with search_stub(stores, encoder) as search:
        rankings = await ranked(search, name, list(classes), exact=exact)
    relevant = [[classes[uri] == classes[path] for uri in ranking] for path, ranking in rankings.items()]
    return rated(relevant)


def fine_classes() -> dict[str, str]:
    """The fine class of each validation photo."""
    lines = (GROCERY / "val.txt").read_text().splitlines()
    return {line.split(",")[0]: line.split(",")[1].strip() for line in lines}


async def ranked(
    search: "SearchServiceAsyncStub", name: str, paths: Sequence[str], *, exact: bool
) -> dict[str, list[str]]:
    """All other photos for each photo, best first."""
    rankings: dict[str, list[str]] = {}
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        queries = [
            search_pb2.SearchRequest(
                parts=[search_pb2.QueryPart(image=(GROCERY / path).read_bytes())],
                limit=len(paths),
                exact=exact,
                fold_copies=False,
            )
            for path in batch
        ]
        response = await search.BatchSearch(search_pb2.BatchSearchRequest(collection=name, queries=queries))
        for path, result in zip(batch, response.results, strict=True):
            assert not result.HasField("error"), result.error.message
            rankings[path] = [hit.uri for hit in result.response.hits if hit.uri != path]
    return rankings


def rated(relevant: Sequence[Sequence[bool]]) -> Quality:
    """Rate rankings whose hits are relevant or not; photos without a relevant other one do not count."""
    rated = [np.asarray(ranking) for ranking in relevant if any(ranking)]
    precisions = [np.mean((np.cumsum(ranking) / np.arange(1, len(ranking) + 1))[ranking]) for ranking in rated]
    return Quality(
        precision_at_1=float(np.mean([ranking[0] for ranking in rated])),
        recall_at_5=float(np.mean([ranking[:5].any() for ranking in rated])),
        mean_average_precision=float(np.mean(precisions)),
    )
