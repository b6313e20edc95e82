"""Owns how a detector's batch is varied: mirrored, in another light, a little noisy."""

from collections.abc import Sequence

import torch
from torch import Tensor


def augment(pictures: Tensor, truths: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Vary uint8 pictures (B, S, S, 3) with their objects (M, 5); returns RGB of 0..255, float32 (B, 3, S, S).

    Draws from torch's global generator.
    """
    batch = pictures.permute(0, 3, 1, 2).contiguous().float()
    is_mirrored = torch.rand(len(batch)) < 0.5
    batch[is_mirrored] = batch[is_mirrored].flip(3)
    boxes = [_mirror(truth) if turn else truth for truth, turn in zip(truths, is_mirrored, strict=True)]
    light, colour = torch.randn(len(batch), 1, 1, 1), torch.randn(len(batch), 3, 1, 1)
    gain = (1 + 0.2 * light + 0.08 * colour).to(batch.device)
    return torch.randn_like(batch).mul_(4).addcmul_(batch, gain).clamp_(0, 255), boxes


def _mirror(truth: Tensor) -> Tensor:
    label, left, top, right, bottom = truth.unbind(dim=1)
    return torch.stack([label, 1 - right, top, 1 - left, bottom], dim=1)
