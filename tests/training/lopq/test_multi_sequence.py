from itertools import islice, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.lopq.index import nearest_cells


@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_every_cell_comes_once_in_order(clusters: int, seed: int, has_ties: bool) -> None:  # noqa: FBT001  # drawn
    """All V² of them, the sums never falling, ties included."""
    first, second = np.random.default_rng(seed).exponential(size=(2, clusters))
    if has_ties:
        first, second = np.round(first), np.round(second)
    cells = list(nearest_cells(first, second))

    assert sorted((row, column) for row, column, _ in cells) == list(product(range(clusters), repeat=2))
    assert all(before[2] <= after[2] for before, after in pairwise(cells))
    assert all(distance == first[row] + second[column] for row, column, distance in cells)


def test_a_few_cells_cost_a_few_steps() -> None:
    """The nearest of 4,000² cells come at once, and right."""
    first, second = np.random.default_rng(1).exponential(size=(2, 4_000))
    nearest = [distance for _, _, distance in islice(nearest_cells(first, second), 5)]

    small = np.sort((np.sort(first)[:5, None] + np.sort(second)[None, :5]).ravel())[:5]
    assert nearest == pytest.approx(small.tolist())
