"""Owns what every YOLO network has in common: grids of anchors, and the guesses that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Anchor = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything a network says of a batch, K guesses an image: all heads one after another, anchor by anchor.

    `boxes` (N, K, 4) are in normalized coordinates of the input, not clipped; `objectness` (N, K) and `classes` (N, K, C) are logits.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor


class AnchoredNetwork(Protocol):
    """A network whose heads have a square grid each, of so many cells a side, in the order of its guesses.

    `anchors` holds for each grid the (width, height) of its typical boxes, in normalized coordinates of the image.
    """

    @property
    def grids(self) -> Sequence[int]: ...

    @property
    def anchors(self) -> Sequence[Sequence[Anchor]]: ...

    @property
    def class_count(self) -> int: ...


def expect_few_objects(head: nn.Conv2d, class_count: int) -> None:
    """Begin with low scores: without this the first steps only unlearn thousands of objects that are not there."""
    assert head.bias is not None
    bias = head.bias.detach().view(-1, 5 + class_count)
    bias[:, 4] = -5.0
    bias[:, 5:] = -2.5
