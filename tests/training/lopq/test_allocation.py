import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.lopq.fit import allocate_eigenvalues


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_order_is_a_permutation(buckets: int, room: int, seed: int) -> None:
    """Each dimension once, so each bucket has its equal share of them."""
    eigenvalues = np.random.default_rng(seed).exponential(size=buckets * room) ** 3

    assert sorted(allocate_eigenvalues(buckets, eigenvalues)) == list(range(buckets * room))


def test_products_are_balanced() -> None:
    """The largest and the smallest go together: 16·1 = 8·2."""
    order = allocate_eigenvalues(2, np.array([16.0, 8.0, 2.0, 1.0]))

    assert order.tolist() == [0, 3, 1, 2]


def test_full_buckets_take_no_more() -> None:
    """However small their product stayed."""
    order = allocate_eigenvalues(2, np.array([1024.0, 1.0, 1.0, 1.0]))

    assert order.tolist() == [0, 3, 1, 2]


def test_balance_on_decaying_spectra() -> None:
    """Such as those of embeddings: no bucket is more than one eigenvalue off."""
    eigenvalues = 0.9 ** np.arange(64)
    logs = np.log2(eigenvalues)[allocate_eigenvalues(8, eigenvalues)].reshape(8, 8).sum(axis=1)

    assert logs.max() - logs.min() < np.log2(eigenvalues[0] / eigenvalues[-1])


def test_dimensions_that_never_vary_do_no_harm() -> None:
    """The logarithm of nothing is not taken."""
    assert sorted(allocate_eigenvalues(2, np.array([4.0, 0.0, 0.0, -1e-12]))) == [0, 1, 2, 3]
    assert sorted(allocate_eigenvalues(2, np.zeros(4))) == [0, 1, 2, 3]


def test_parts_must_come_out_even() -> None:
    """Seven dimensions make no two halves."""
    with pytest.raises(ValueError, match="7 dimensions"):
        allocate_eigenvalues(2, np.ones(7))
