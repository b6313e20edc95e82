"""Owns the grid of an affine view: where in its image each pixel of a turned, moved or resized one comes from."""

import torch
from torch import Tensor


def affine_grid(views: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Points (N, H, W, 2) in coordinates of -1..1 for views (N, 2, 3) of `size_px` (width, height).

    It is torch's own with align_corners=False, by sums in place of a product of matrices, which takes a CPU eight times
    as long.
    """
    across, down = (_centres(pixels).to(views.device) for pixels in size_px)
    by_column, by_row, shift = (views[:, :, None, None, axis] for axis in range(3))
    points = by_column * across + (by_row * down[:, None] + shift)
    return points.permute(0, 2, 3, 1)


def _centres(pixels: int) -> Tensor:
    return (2 * torch.arange(pixels) + 1) / pixels - 1
