"""Owns the asymmetric loss for many labels, of which most are absent."""

import torch
from torch import Tensor

EPSILON = 1e-8


def asymmetric_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma_absent: float = 4.0,
    gamma_present: float = 1.0,
    margin: float = 0.05,
) -> Tensor:
    """Sum over classes, mean over the batch, of logits and 0/1 labels (N, C).

    What is easy counts less: by (1 - p) to the power of gamma; absent classes below `margin` count nothing.
    """
    present = logits.sigmoid()
    absent = (1 - present + margin).clamp(max=1)
    loss = labels * (1 - present) ** gamma_present * torch.log(present.clamp(min=EPSILON)) + (1 - labels) * (
        1 - absent
    ) ** gamma_absent * torch.log(absent.clamp(min=EPSILON))
    return -loss.sum() / len(logits)
