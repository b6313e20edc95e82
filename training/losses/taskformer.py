"""Owns TASK-former's objective: find the photo, name what it shows, and be able to tell it in words."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from training.losses.asymmetric import asymmetric_loss
from training.losses.contrastive import symmetric_contrastive_loss
from training.models.taskformer import PADDING, TaskFormer, fuse


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
    """Compute the objective of a batch: pictures (N, 3, S, S), captions (N, T) padded with 0, labels 0/1 (N, C)."""
    weights = weights or TaskFormerWeights()
    photos, sketches, texts = network(image, sketch, tokens)
    contrastive = symmetric_contrastive_loss(fuse(texts, sketches), photos, network.logit_scale)
    alone = [symmetric_contrastive_loss(part, photos, network.logit_scale) for part in (texts, sketches)]
    solo = (alone[0] + alone[1]) / 2
    named = [asymmetric_loss(network.classify(part), labels) for part in (photos, sketches, texts)]
    classes = (named[0] + named[1] + named[2]) / 3
    # Only the pictures tell the caption; the text tower would give it away.
    caption = caption_loss(network.decoder(tokens[:, :-1], (photos + sketches) / 2), tokens[:, 1:])
    found = weights.contrastive * contrastive + weights.solo * solo
    total = found + weights.classes * classes + weights.caption * caption
    return TaskFormerLoss(total, contrastive, solo, classes, caption)


def caption_loss(logits: Tensor, following: Tensor) -> Tensor:
    """Cross-entropy of the next token: logits (N, T, V) against (N, T); padding does not count."""
    return F.cross_entropy(logits.transpose(1, 2), following, ignore_index=PADDING)
