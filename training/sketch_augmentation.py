"""Owns how photos, sketches and queries are varied in training, so that a hand-drawn sketch need not match its photo."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

WHITE = 255
DARK_BELOW = 245


def varied_view(size_px: int, *, is_affine: bool = True) -> v2.Transform:
    """Return what turns, shifts, shears and crops an RGB picture: call it for photo and sketch apart.

    The drawing's own noise comes from torch's global generator.
    """
    bicubic = InterpolationMode.BICUBIC
    if not is_affine:
        return v2.RandomResizedCrop(size_px, scale=(0.9, 1.0), interpolation=bicubic)
    return v2.Compose(
        [
            v2.RandomAffine(
                degrees=30,
                translate=(0.3, 0.3),
                scale=(1.0, 2.0),
                shear=(-30, 30, -30, 30),
                interpolation=bicubic,
                fill=WHITE,
            ),
            v2.RandomResizedCrop(size_px, scale=(0.8, 1.0), interpolation=bicubic),
        ]
    )


def unfinished(sketch: Image.Image, rng: np.random.Generator, *, least: float = 0.6) -> Image.Image:
    """Keep each dark pixel with one probability, drawn from `least` to 1; the others become white."""
    pixels: NDArray[np.uint8] = np.asarray(sketch.convert("L")).copy()
    kept = rng.random(pixels.shape) < rng.uniform(least, 1)
    pixels[(pixels < DARK_BELOW) & ~kept] = WHITE
    return Image.fromarray(pixels).convert("RGB")


def drop_queries(
    sketch: Tensor, tokens: Tensor, *, blank: Tensor, empty: Tensor, rng: torch.Generator, share: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Give a `share` of the rows the `blank` sketch and another the `empty` text, never both.

    Sketches (N, 3, S, S) and tokens (N, T); so the network learns what a query with only one of them looks like.
    """
    chance = torch.rand(len(sketch), generator=rng).to(sketch.device)
    has_no_sketch = chance < share
    has_no_text = (chance >= share) & (chance < 2 * share)
    return (
        torch.where(has_no_sketch[:, None, None, None], blank, sketch),
        torch.where(has_no_text[:, None], empty, tokens),
    )
