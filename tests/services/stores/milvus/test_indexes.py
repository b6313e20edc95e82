import pytest

from rpc.errors import InvalidArgument
from services.stores.filters.expression import Engine
from services.stores.milvus.indexes import build_params, chosen_index, search_params


@pytest.mark.parametrize(
    ("engine", "asked", "chosen"),
    [
        (Engine.LITE, "", "FLAT"),
        (Engine.SERVER, "", "HNSW"),
        (Engine.SERVER, "hnsw", "HNSW"),
        (Engine.LITE, "IVF_FLAT", "IVF_FLAT"),
        (Engine.SERVER, "DISKANN", "DISKANN"),
    ],
)
def test_index_fits_the_engine(engine: Engine, asked: str, chosen: str) -> None:
    """An empty index is chosen for the engine; a known one is taken in any case."""
    assert chosen_index(asked, engine) == chosen


@pytest.mark.parametrize(
    ("engine", "asked"), [(Engine.LITE, "HNSW"), (Engine.LITE, "IVF_PQ"), (Engine.SERVER, "RABITQ"), (Engine.LITE, "x")]
)
def test_unknown_index_is_refused(engine: Engine, asked: str) -> None:
    """What the engine could not load after a restart is refused, with what it has."""
    with pytest.raises(InvalidArgument, match=r"index: .*FLAT"):
        chosen_index(asked, engine)


@pytest.mark.parametrize(("dimension", "parts"), [(512, 64), (384, 48), (500, 50), (13, 1), (4, 1)])
def test_product_quantisation_divides_the_dimension(dimension: int, parts: int) -> None:
    """Subvectors have to be of one size."""
    assert build_params("IVF_PQ", dimension)["m"] == parts


def test_search_is_wide_enough() -> None:
    """Whatever is asked for, the search looks at more than that."""
    assert search_params("HNSW", 10) == {"ef": 64}
    assert search_params("HNSW", 16_384) == {"ef": 32_768}
    assert search_params("DISKANN", 1000)["search_list"] >= 1000
    assert search_params("SCANN", 1000)["reorder_k"] >= 1000
