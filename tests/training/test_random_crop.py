import numpy as np
import pytest

from training.random_crop import random_crop


@pytest.mark.parametrize("size", [(272, 272), (640, 200), (1, 1)])
def test_a_crop_lies_inside_and_shows_enough(size: tuple[int, int]) -> None:
    """Of any shape of picture, at least about .3 of it; a long one loses a little more to the change of aspect."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        left, top, right, bottom = random_crop(size, rng)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        shares.append((right - left) * (bottom - top) / (size[0] * size[1]))

    assert min(shares) > 0.28
