"""Owns TASK-former's objective: find the photo, name what it shows, and be able to tell it in words."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.models.taskformer import PADDING, TaskFormer, fuse

MAX_SCALE = 100.0
EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class TaskFormerWeights:
    """How much each part counts; the defaults are the paper's.

    `solo`, which is not the paper's, has the sentence and the sketch find the photo alone too: a search with one of them
    has no placeholder for the other.
    """

    contrastive: float = 100.0
    solo: float = 0.0
    classes: float = 10.0
    caption: float = 1.0


@dataclass(frozen=True, slots=True)
class TaskFormerLoss:
    """The parts before weighting, and their weighted sum."""

    total: Tensor
    contrastive: Tensor
    solo: Tensor
    classes: Tensor
    caption: Tensor


def taskformer_loss(
    network: TaskFormer,
    image: Tensor,
    sketch: Tensor,
    tokens: Tensor,
    labels: Tensor,
    *,
    weights: TaskFormerWeights | None = None,
) -> TaskFormerLoss:
    """Compute the objective of a batch: images (N, 3, S, S), captions (N, T) padded with 0, labels 0/1 (N, C)."""
    weights = weights or TaskFormerWeights()
    photos, sketches, texts = network(image, sketch, tokens)
    contrastive = symmetric_contrastive_loss(fuse(texts, sketches), photos, network.logit_scale)
    alone = [symmetric_contrastive_loss(part, photos, network.logit_scale) for part in (texts, sketches)]
    solo = (alone[0] + alone[1]) / 2
    named = [asymmetric_loss(network.classify(part), labels) for part in (photos, sketches, texts)]
    classes = (named[0] + named[1] + named[2]) / 3
    # Only the images tell the caption; the text tower would give it away.
    caption = caption_loss(network.decoder(tokens[:, :-1], (photos + sketches) / 2), tokens[:, 1:])
    found = weights.contrastive * contrastive + weights.solo * solo
    total = found + weights.classes * classes + weights.caption * caption
    return TaskFormerLoss(total, contrastive, solo, classes, caption)


def caption_loss(logits: Tensor, following: Tensor) -> Tensor:
    """Cross-entropy of the next token: logits (N, T, V) against (N, T); padding does not count."""
    return F.cross_entropy(logits.transpose(1, 2), following, ignore_index=PADDING)


def symmetric_contrastive_loss(queries: Tensor, answers: Tensor, log_scale: Tensor) -> Tensor:
    """Cross-entropy of rows and columns of the cosines (N, N), scaled by exp(`log_scale`), at most 100.

    A photo may be in a batch only once: with two of its captions each would count as wrong for the other.
    """
    logits = log_scale.exp().clamp(max=MAX_SCALE) * F.normalize(queries, dim=1) @ F.normalize(answers, dim=1).T
    own = torch.arange(len(queries), device=queries.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def asymmetric_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma_absent: float = 4.0,
    gamma_present: float = 1.0,
    margin: float = 0.05,
) -> Tensor:
    """The asymmetric loss for many labels, of which most are absent: summed over classes, mean over the batch, of logits and 0/1 labels (N, C).

    What is easy counts less: by (1 - p) to the power of gamma; absent classes below `margin` count nothing.
    """
    present = logits.sigmoid()
    absent = (1 - present + margin).clamp(max=1)
    loss = labels * (1 - present) ** gamma_present * torch.log(present.clamp(min=EPSILON)) + (1 - labels) * (
        1 - absent
    ) ** gamma_absent * torch.log(absent.clamp(min=EPSILON))
    return -loss.sum() / len(logits)
