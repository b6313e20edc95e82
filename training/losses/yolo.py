"""Owns the YOLO loss: which guess answers for which object, and what it pays for box, objectness and class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.models.anchored import AnchoredNetwork, Prediction

# An anchor at least this much like an object in size answers for it, besides the most alike one.
ANCHOR_LIKENESS = 0.4
# A guess this close to an object that it does not answer for is neither right nor wrong.
IGNORED_IOU = 0.55
BOX_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which guesses (P,) of which images (P,) answer for which boxes (P, 4) of which class (P,)."""

    image: Tensor
    guess: Tensor
    box: Tensor
    label: Tensor


def yolo_loss(network: AnchoredNetwork, prediction: Prediction, truths: Sequence[Tensor]) -> Tensor:
    """The loss of a batch for each answering guess; `truths` holds (M, 5) of class id and box for each image."""
    matched = assign(network, truths)
    count = max(1, len(matched.image))
    answers = prediction.boxes[matched.image, matched.guess]
    box = (1 - generalised_iou(answers, matched.box)).sum()

    target = torch.zeros_like(prediction.objectness)
    target[matched.image, matched.guess] = 1.0
    counts = ~_is_ignored(prediction.boxes.detach(), truths) | target.bool()
    objectness = F.binary_cross_entropy_with_logits(
        prediction.objectness, target, weight=counts.float(), reduction="sum"
    )

    labels = F.one_hot(matched.label, network.class_count).float()
    classes = F.binary_cross_entropy_with_logits(
        prediction.classes[matched.image, matched.guess], labels, reduction="sum"
    )
    return (BOX_WEIGHT * box + objectness + classes) / count


def assign(network: AnchoredNetwork, truths: Sequence[Tensor]) -> Assignment:
    """Give each object to the cell under its centre, in every anchor that is like it in size."""
    image = torch.cat([torch.full((len(truth),), index, device=truth.device) for index, truth in enumerate(truths)])
    truth = torch.cat(list(truths))
    box, label = truth[:, 1:], truth[:, 0].long()
    centre, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]

    anchors = torch.tensor([anchor for group in network.anchors for anchor in group], device=truth.device)
    common = torch.minimum(size[:, None], anchors[None]).prod(dim=2)
    likeness = common / (size.prod(dim=1)[:, None] + anchors.prod(dim=1)[None] - common)
    is_chosen = (likeness >= ANCHOR_LIKENESS) | (likeness == likeness.amax(dim=1, keepdim=True))

    guesses, first, index = [], 0, 0
    for grid, group in zip(network.grids, network.anchors, strict=True):
        column, row = (centre * grid).long().clamp(0, grid - 1).unbind(dim=1)
        for _ in group:
            guesses.append(first + row * grid + column)
            first, index = first + grid * grid, index + 1
    which, anchor = is_chosen.nonzero(as_tuple=True)
    return Assignment(image[which], torch.stack(guesses, dim=1)[which, anchor], box[which], label[which])


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """GIoU of boxes (P, 4) pair by pair: the IoU, less what the smallest box around both has to spare."""
    common = _area(
        torch.cat([torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])], 1)
    )
    around = _area(
        torch.cat([torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:])], 1)
    )
    union = _area(first) + _area(second) - common
    return common / union.clamp(min=1e-9) - (around - union) / around.clamp(min=1e-9)


def _is_ignored(boxes: Tensor, truths: Sequence[Tensor]) -> Tensor:
    """Guesses (N, K) that lie on an object, whether or not they answer for it."""
    ignored = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for index, truth in enumerate(truths):
        if len(truth):
            ignored[index] = (_iou(boxes[index], truth[:, 1:]) > IGNORED_IOU).any(dim=1)
    return ignored


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU (A, B) of boxes (A, 4) and (B, 4)."""
    corner = torch.maximum(first[:, None, :2], second[None, :, :2])
    opposite = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (opposite - corner).clamp(min=0).prod(dim=2)
    return common / (_area(first)[:, None] + _area(second)[None] - common).clamp(min=1e-9)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
