"""Owns the random crop: the part of an image that a view of it shows."""

import numpy as np

Box = tuple[int, int, int, int]


def random_crop(size: tuple[int, int], rng: np.random.Generator) -> Box:
    """Choose a box of 30 to 100 % of an image (width, height), its aspect changed by at most a third."""
    stretch = np.exp(rng.uniform(np.log(0.75), np.log(4 / 3)) / 2)
    side = np.sqrt(rng.uniform(0.3, 1.0))
    width, height = (
        max(1, round(min(length, length * share)))
        for length, share in zip(size, (side * stretch, side / stretch), strict=True)
    )
    left, top = rng.integers(0, size[0] - width + 1), rng.integers(0, size[1] - height + 1)
    return int(left), int(top), int(left) + width, int(top) + height
