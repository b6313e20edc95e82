"""Owns what training changes in a picture: what no caption tells."""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.pedestrians.config import AugmentationConfig


def augmented(pixels: Tensor, config: AugmentationConfig) -> Tensor:
    """Mirror, move and light a batch of uint8 pictures (B, H, W, 3); returns float (B, 3, H, W) of 0..255."""
    batch = pixels.permute(0, 3, 1, 2).float()
    count = len(batch)
    # No caption may then say left or right; the published training mirrors too, and its captions seldom do.
    is_mirrored = torch.rand(count) < 0.5
    batch[is_mirrored] = batch[is_mirrored].flip(3)
    if config.shift_px:
        batch = _shifted(batch, config.shift_px)
    if config.light:
        gain = 1 + config.light * torch.randn(count, 1, 1, 1) + config.light / 3 * torch.randn(count, 3, 1, 1)
        batch = (batch * gain.to(batch.device)).clamp(0, 255)
    return batch


def _shifted(batch: Tensor, most_px: int) -> Tensor:
    """The whole batch moves alike, which is cheap; the next one moves otherwise."""
    height, width = batch.shape[2:]
    padded = F.pad(batch, (most_px,) * 4, mode="replicate")
    top, left = torch.randint(0, 2 * most_px + 1, (2,)).tolist()
    return padded[:, :, top : top + height, left : left + width]
