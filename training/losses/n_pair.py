"""Owns the N-pair loss: each anchor must find its positive among some negatives."""

import torch
from torch import Tensor
from torch.nn import functional as F


def n_pair_loss(anchor: Tensor, positive: Tensor, negatives: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Pick the positive (N, D) among it and the negatives (N, K, D) by cosine with the anchor (N, D).

    `temperature=1` is the published loss, which cannot fall below log(1 + K·exp(-2)): .4327 for four negatives.
    """
    others = torch.cat((positive[:, None], negatives), dim=1)
    scores = (F.normalize(anchor, dim=1)[:, None] * F.normalize(others, dim=2)).sum(dim=2)
    return F.cross_entropy(scores / temperature, torch.zeros(len(anchor), dtype=torch.long, device=anchor.device))
