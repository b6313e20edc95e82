"""Owns how photos, sketches and queries are varied in training, so that a hand-drawn sketch need not match its photo."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.affine_grid import affine_grid

WHITE = 255.0
DARK_BELOW = 245.0
CROP_ASPECT = 4 / 3


@dataclass(frozen=True, slots=True)
class Looseness:
    """How far an image may be turned, sheared (degrees, both ways), shifted (share of a side) and scaled.

    A crop of a share `crop` of its area, its aspect changed by at most a third, follows. The defaults are the published
    ones.
    """

    degrees: float = 30.0
    shear_degrees: float = 30.0
    translate: float = 0.3
    scale: tuple[float, float] = (1.0, 2.0)
    crop: tuple[float, float] = (0.8, 1.0)


def loosened(images: Tensor, looseness: Looseness, rng: torch.Generator) -> Tensor:
    """Vary each of a batch (N, C, S, S) of levels 0..255 in its own way; what comes into view from outside is white."""
    views = _affine(len(images), looseness, rng) @ _crop(len(images), looseness, rng)
    height, width = images.shape[2:]
    grid = affine_grid(views[:, :2].to(images.device), (width, height))
    # Outside is zero for `grid_sample`, so it samples the negative.
    return F.grid_sample(WHITE - images, grid, align_corners=False).neg_().add_(WHITE)


def _affine(count: int, looseness: Looseness, rng: torch.Generator) -> Tensor:
    """Where in its image each point of a turned one comes from, (N, 3, 3) on coordinates of -1..1."""
    turn, shear_x, shear_y = (
        torch.deg2rad(_uniform(-most, most, count, rng))
        for most in (looseness.degrees, looseness.shear_degrees, looseness.shear_degrees)
    )
    scale, one = _uniform(*looseness.scale, count, rng), torch.ones(count)
    turned = _matrix(((turn.cos(), -turn.sin()), (turn.sin(), turn.cos())))
    sheared = _matrix(((one, shear_x.tan()), (shear_y.tan(), one)))
    # A shift by a share of a side is twice that on coordinates of -1..1.
    shift = 2 * torch.stack([_uniform(-looseness.translate, looseness.translate, count, rng) for _ in range(2)], dim=1)
    forward = _homogeneous(scale[:, None, None] * turned @ sheared, shift)
    backward: Tensor = torch.linalg.inv(forward)
    return backward


def _crop(count: int, looseness: Looseness, rng: torch.Generator) -> Tensor:
    """Where in the whole each point of a crop comes from, (N, 3, 3)."""
    side = _uniform(*looseness.crop, count, rng).sqrt()
    # No more than leaves both sides inside.
    most = (-side.log()).clamp(max=math.log(CROP_ASPECT) / 2)
    stretch = torch.exp(most * _uniform(-1, 1, count, rng))
    width, height = side * stretch, side / stretch
    zero = torch.zeros(count)
    room = torch.stack([1 - width, 1 - height], dim=1)
    shift = room * torch.stack([_uniform(-1, 1, count, rng) for _ in range(2)], dim=1)
    return _homogeneous(_matrix(((width, zero), (zero, height))), shift)


def _uniform(low: float, high: float, count: int, rng: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=rng)


def _matrix(rows: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _homogeneous(linear: Tensor, shift: Tensor) -> Tensor:
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(linear), 1, 3)
    return torch.cat([torch.cat([linear, shift[:, :, None]], dim=2), last], dim=1)


def unfinished(sketches: Tensor, rng: torch.Generator, *, least: float = 0.6) -> Tensor:
    """Keep each dark pixel of a sketch with one probability, drawn from `least` to 1; the others become white.

    Sketches (N, C, S, S) of levels 0..255.
    """
    count, _, height, width = sketches.shape
    kept = torch.rand(count, 1, height, width, generator=rng) < _uniform(least, 1, count, rng)[:, None, None, None]
    is_dark = sketches.amin(dim=1, keepdim=True) < DARK_BELOW
    return sketches.masked_fill(is_dark & ~kept.to(sketches.device), WHITE)


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
