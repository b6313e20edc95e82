import numpy as np
import pytest
import torch

from training.general.colour import ColourEmbedding


def fitted(images: np.ndarray) -> ColourEmbedding:
    colour = ColourEmbedding(4)
    colour.fit(images)
    return colour


def test_colours_count_wherever_they_are_as_far_from_the_middle() -> None:
    """An embedding is of unit length and depends on the colours, not on which side of the image they are."""
    rng = np.random.default_rng(0)
    colour = fitted(rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8))
    # Tiles of one colour each, so that the pixels that are looked at mirror each other.
    image = torch.from_numpy(rng.integers(0, 256, (1, 3, 4, 4))).float().repeat_interleave(4, 2).repeat_interleave(4, 3)

    assert colour(image).norm(dim=1).item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(colour.roots(image).square().sum(dim=1), torch.ones(1), atol=1e-5)
    assert torch.allclose(colour(image), colour(image.flip(3)), atol=1e-4)
    assert torch.allclose(colour(image), colour(image.rot90(1, (2, 3))), atol=1e-4)
    assert not torch.allclose(colour(image), colour(255 - image), atol=1e-3)


def test_the_middle_counts_more() -> None:
    """A red middle is more of a red image than a red border of as many pixels."""
    colour = ColourEmbedding(4)
    red, blue = (torch.tensor(rgb).reshape(3, 1, 1) for rgb in ((255.0, 0.0, 0.0), (0.0, 0.0, 255.0)))
    across = torch.linspace(-1, 1, 32)
    distance = (across[:, None] ** 2 + across**2).sqrt()
    is_middle = distance <= distance.median()

    in_the_middle, around = (torch.where(mask, red, blue)[None] for mask in (is_middle, ~is_middle))
    all_red = colour.roots(red.expand(3, 32, 32)[None])
    assert (colour.roots(in_the_middle) * all_red).sum() > (colour.roots(around) * all_red).sum() + 0.1
