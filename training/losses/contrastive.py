"""Owns the contrastive losses: each query must find its own answer among those of the batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_SCALE = 100.0


def symmetric_contrastive_loss(queries: Tensor, answers: Tensor, log_scale: Tensor) -> Tensor:
    """Cross-entropy of rows and columns of the cosines (N, N), scaled by exp(`log_scale`), at most 100.

    A photo may be in a batch only once: with two of its captions each would count as wrong for the other.
    """
    logits = log_scale.exp().clamp(max=MAX_SCALE) * F.normalize(queries, dim=1) @ F.normalize(answers, dim=1).T
    own = torch.arange(len(queries), device=queries.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def n_pair_loss(anchor: Tensor, positive: Tensor, negatives: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Pick the positive (N, D) among it and the negatives (N, K, D) by cosine with the anchor (N, D).

    `temperature=1` is the published loss, which cannot fall below log(1 + K·exp(-2)): .4327 for four negatives.
    """
    others = torch.cat((positive[:, None], negatives), dim=1)
    scores = (F.normalize(anchor, dim=1)[:, None] * F.normalize(others, dim=2)).sum(dim=2)
    return F.cross_entropy(scores / temperature, torch.zeros(len(anchor), dtype=torch.long, device=anchor.device))
