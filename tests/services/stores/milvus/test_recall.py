"""What the indexes that are chosen by size find, against brute force."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.stores.milvus.indexes import RECALL
from services.stores.milvus.rows import RowSearch, rows_of
from services.stores.milvus.store import RowStore
from services.stores.records import WHOLE_IMAGE_REGION, Collection, CollectionMode, Embeddings, ImageRecord, StoredImage
from tests.services.stores.making import soon, unit_embeddings

ROWS, QUERIES, DIMENSION = 4000, 100, 64
INDEXES = [
    pytest.param("milvus_lite_uri", "FLAT", id="lite-FLAT"),
    *(
        pytest.param("milvus_standalone_uri", index, id=f"standalone-{index}", marks=pytest.mark.standalone)
        for index in ("FLAT", "HNSW", "IVF_SQ8")
    ),
]


def clustered(count: int, seed: int) -> Embeddings:
    """Unit vectors around a hundred others, as photos of a hundred kinds of things lie."""
    random = np.random.default_rng(seed)
    around = unit_embeddings(100, seed=1, dimension=DIMENSION)[random.integers(0, 100, count)]
    drawn = around + 0.1 * random.normal(size=around.shape)
    unit: Embeddings = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
async def filled(request: pytest.FixtureRequest, name: str) -> AsyncIterator[tuple[RowStore, Collection, Embeddings]]:
    """Rows in an index, and their embeddings: the number of each is the version in its key."""
    uri, index = request.param
    rows, embeddings = await RowStore.open(request.getfixturevalue(uri)), clustered(ROWS, seed=2)
    collection = await rows.create(
        Collection(name, "space", "encoder", "", CollectionMode.WHOLE_IMAGE, index, DIMENSION, 1.0)
    )
    for start in range(0, ROWS, 500):
        made = []
        for number in range(start, start + 500):
            record = ImageRecord(f"{number:032x}", f"{number}", "", number, 1, 640, 480, {}, 1.0)
            made += rows_of(record, StoredImage(record, (WHOLE_IMAGE_REGION,), embeddings[number : number + 1]))
        await rows.add(collection.store_name, made, soon())
    await rows.index_rows(collection, soon())
    yield rows, collection, embeddings
    await rows.drop_store(collection.store_name)
    await rows.close()


@pytest.mark.parametrize(
    "filled", [pytest.param(each.values, id=str(each.id), marks=each.marks) for each in INDEXES], indirect=True
)
async def test_an_index_finds_what_is_stated(filled: tuple[RowStore, Collection, Embeddings]) -> None:
    """Of the ten nearest of a hundred queries, RECALL or more are found, also where more than ten are asked for."""
    rows, collection, embeddings = filled
    queries = clustered(QUERIES, seed=3)
    order = np.argsort(-(queries @ embeddings.T), axis=1)
    for limit in (10, 100):
        answers = await rows.nearest(collection, queries, RowSearch("", limit), soon())
        found = sum(
            len({each.key.version for each in answer[:10]} & set(nearest[:10].tolist()))
            for answer, nearest in zip(answers, order, strict=True)
        )
        assert found >= RECALL * 10 * QUERIES
