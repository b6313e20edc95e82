import numpy as np
import pytest

from world.random_crop import random_crop


@pytest.mark.parametrize("size", [(272, 272), (640, 200), (1, 1)])
def test_a_crop_lies_inside_and_shows_enough(size: tuple[int, int]) -> None:
    """Of any shape of image, at least about .3 of it; a long one loses a little more to the change of aspect."""
    rng = np.random.default_rng(0)
    fractions = []
    for _ in range(300):
        left, top, right, bottom = random_crop(size, rng)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        fractions.append((right - left) * (bottom - top) / (size[0] * size[1]))

    assert min(fractions) > 0.28
