import pytest

from rpc.errors import InvalidArgument
from services.stores.filters.expression import Engine
from services.stores.milvus.indexes import (
    FLAT_ROWS,
    build_params,
    checked_index,
    index_for,
    is_outgrown,
    row_bytes,
    search_params,
)
from services.stores.milvus.machine import Machine

LITE, SERVER = Machine(Engine.LITE), Machine(Engine.SERVER, (2, 3, 5))
GIB = 1 << 30


@pytest.mark.parametrize(
    ("rows", "machine", "chosen"),
    [
        (0, LITE, "FLAT"),
        (FLAT_ROWS, LITE, "FLAT"),
        (10**9, LITE, "FLAT"),
        (FLAT_ROWS, SERVER, "FLAT"),
        (FLAT_ROWS + 1, SERVER, "HNSW"),
        (10**9, SERVER, "HNSW"),
        (1_000_000, Machine(Engine.SERVER, memory_bytes=16 * GIB), "HNSW"),
        (4_000_000, Machine(Engine.SERVER, memory_bytes=16 * GIB), "IVF_SQ8"),
        (40_000_000, Machine(Engine.SERVER, memory_bytes=16 * GIB), "DISKANN"),
    ],
)
def test_the_index_follows_the_size(rows: int, machine: Machine, chosen: str) -> None:
    """Small collections are compared with as a whole; then the fastest index that fits into the memory, where it is known."""
    assert index_for(rows, 512, machine) == chosen


def test_no_collection_shrinks() -> None:
    """A collection is outgrown upwards only; one that is never chosen by size, such as IVF_PQ, is not."""
    assert is_outgrown("FLAT", "HNSW")
    assert is_outgrown("HNSW", "DISKANN")
    assert not is_outgrown("HNSW", "FLAT")
    assert not is_outgrown("HNSW", "HNSW")
    assert not is_outgrown("IVF_PQ", "HNSW")


def test_a_quantised_index_is_smaller() -> None:
    """The order in which indexes are tried is that of their memory."""
    assert row_bytes("IVF_SQ8", 512) < row_bytes("FLAT", 512) < row_bytes("HNSW", 512)


@pytest.mark.parametrize(
    ("machine", "asked"),
    [
        (LITE, "ivf_flat"),
        (SERVER, "hnsw"),
        (SERVER, "DISKANN"),
        (Machine(Engine.SERVER, (2, 6, 1)), "IVF_RABITQ"),
    ],
)
def test_a_known_index_is_taken_by_name(machine: Machine, asked: str) -> None:
    """In capitals or not."""
    assert checked_index(asked, machine) == asked.upper()


@pytest.mark.parametrize(
    ("machine", "asked"),
    [(LITE, "HNSW"), (LITE, "IVF_PQ"), (SERVER, "RABITQ"), (SERVER, "IVF_RABITQ"), (LITE, "x"), (SERVER, "")],
)
def test_unknown_index_is_refused(machine: Machine, asked: str) -> None:
    """What the engine, or its version, could not build or load after a restart is refused, with what it has."""
    with pytest.raises(InvalidArgument, match=r"index: .*FLAT"):
        checked_index(asked, machine)


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
