"""The laws of fusion, for embeddings of all kinds."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rpc.errors import InvalidArgument
from services.search.fusion import Embeddings, fuse, parse_embedding

DIMENSION = 8
TOLERANCE = 1e-5


@st.composite
def unit_rows(draw: st.DrawFn, rows: int = 1) -> Embeddings:
    raw = draw(arrays.arrays(np.float32, (rows, DIMENSION), elements=st.floats(-1, 1, width=32)))
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    assume(np.all(norms > 0.01))
    return np.asarray(raw / norms, dtype=np.float32)


weights = st.floats(2**-7, 1000, width=32)


@given(unit_rows(), weights)
def test_one_part_stays_itself(part: Embeddings, weight: float) -> None:
    """One part equals a plain search, bit for bit, whatever its weight."""
    assert np.array_equal(fuse([part], [weight]), part)


@given(unit_rows(), unit_rows(), unit_rows(), weights, weights)
def test_weight_0_is_absence(a: Embeddings, b: Embeddings, c: Embeddings, first: float, last: float) -> None:
    """A part of weight 0 changes nothing, bit for bit."""
    assume(np.linalg.norm(first * a + last * c) > 0.01 * (first + last))
    assert np.array_equal(fuse([a, b, c], [first, 0.0, last]), fuse([a, c], [first, last]))


@given(unit_rows(), unit_rows(), weights, weights)
def test_fused_embeddings_have_unit_length(a: Embeddings, b: Embeddings, first: float, last: float) -> None:
    """The score of a fused query is a cosine."""
    assume(np.linalg.norm(first * a + last * b) > 0.01 * (first + last))
    assert np.linalg.norm(fuse([a, b], [first, last])) == pytest.approx(1, abs=TOLERANCE)


@given(unit_rows(), unit_rows())
def test_equal_weights_are_the_mean(a: Embeddings, b: Embeddings) -> None:
    """Text and sketch at equal weight are fused as TASK-former fuses them."""
    mean = (a + b) / 2
    assume(np.linalg.norm(mean) > 0.01)
    assert fuse([a, b], [1, 1]) == pytest.approx(mean / np.linalg.norm(mean), abs=TOLERANCE)


@given(unit_rows(), unit_rows(), weights, weights, st.floats(2**-7, 1, width=32))
def test_only_ratios_of_weights_count(a: Embeddings, b: Embeddings, first: float, last: float, scale: float) -> None:
    """Weights 1 and 2 ask for the same as 10 and 20."""
    assume(np.linalg.norm(first * a + last * b) > 0.01 * (first + last))
    scaled = fuse([a, b], [first * scale, last * scale])
    assert scaled == pytest.approx(fuse([a, b], [first, last]), abs=1e-3)


@given(unit_rows(rows=3), st.tuples(weights, weights, weights))
def test_a_negative_weight_never_raises_its_target(parts: Embeddings, given: tuple[float, float, float]) -> None:
    """What is pushed away scores no higher than without the push."""
    a, b, target = parts[:1], parts[1:2], parts[2:]
    first, second, away = given
    assume(np.linalg.norm(first * a + second * b) > 0.01 * (first + second))
    assume(np.linalg.norm(first * a + second * b - away * target) > 0.01 * (first + second + away))
    before = fuse([a, b], [first, second]) @ target.T
    after = fuse([a, b, target], [first, second, -away]) @ target.T
    assert after <= before + 1e-4


@given(unit_rows(rows=3), unit_rows())
def test_a_single_part_goes_with_each_region(regions: Embeddings, other: Embeddings) -> None:
    """Each region is fused as it would be alone."""
    assume(np.all(np.linalg.norm(regions + other, axis=1) > 0.01))
    alone = np.concatenate([fuse([row[np.newaxis], other], [1, 1]) for row in regions])
    assert np.array_equal(fuse([regions, other], [1, 1]), alone)


@given(unit_rows(), weights)
def test_parts_that_cancel_are_refused(part: Embeddings, weight: float) -> None:
    """A query without a direction is refused with the reason."""
    with pytest.raises(InvalidArgument, match="cancel"):
        fuse([part, part], [weight, -weight])


def test_an_embedding_is_brought_to_unit_length() -> None:
    """Only the direction of a caller's embedding counts, from the smallest to the largest floats."""
    for scale in (2e-38, 1.0, 3e38):
        data = np.array([scale, 0, 0, 0], dtype="<f4").tobytes()
        assert parse_embedding(data, 4).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "16 bytes"),
        (b"\0" * 15, "16 bytes"),
        (b"\0" * 20, "16 bytes"),
        (b"\0" * 16, "zeros"),
        (np.array([1, np.nan, 0, 0], dtype="<f4").tobytes(), "finite"),
        (np.array([1, np.inf, 0, 0], dtype="<f4").tobytes(), "finite"),
    ],
)
def test_an_embedding_that_is_none_is_refused(data: bytes, message: str) -> None:
    """An embedding of another length, with NaN, or without a direction cannot be searched."""
    with pytest.raises(ValueError, match=message):
        parse_embedding(data, 4)
