"""Owns the two losses of cross-modal projection: matching (CMPM) and classification (CMPC)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-8


def cmpm_loss(images: Tensor, texts: Tensor, identity: Tensor, *, published_targets: bool = False) -> Tensor:
    """How far the matching of a batch of pairs (n, D) is from their identities (n,), both ways.

    The divergence has the prediction first: KL(p‖q). `published_targets` repeats the PyTorch port, whose targets are no
    distribution: only for comparing with its logs.
    """
    same = (identity[:, None] == identity).to(images.dtype)
    # The port divides column j by the L2 norm of row j.
    targets = same / (same.norm(dim=1) if published_targets else same.sum(dim=1, keepdim=True))
    log_targets = torch.log(targets + EPSILON)
    return _divergence(images @ F.normalize(texts, dim=1).T, log_targets) + _divergence(
        texts @ F.normalize(images, dim=1).T, log_targets
    )


def _divergence(logits: Tensor, log_targets: Tensor) -> Tensor:
    log_matching = F.log_softmax(logits, dim=1)
    return (log_matching.exp() * (log_matching - log_targets)).sum(dim=1).mean()


class CmpcLoss(nn.Module):
    """Classifies each embedding projected on its partner; `weight` (D, classes) is the checkpoints' `W`."""

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dimension, classes)))

    def forward(self, images: Tensor, texts: Tensor, identity: Tensor) -> Tensor:
        weight = F.normalize(self.weight, dim=0)
        of_images = F.cross_entropy(_on(images, texts) @ weight, identity)
        return of_images + F.cross_entropy(_on(texts, images) @ weight, identity)


def _on(embedding: Tensor, partner: Tensor) -> Tensor:
    direction = F.normalize(partner, dim=1)
    return (embedding * direction).sum(dim=1, keepdim=True) * direction
