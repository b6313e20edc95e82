"""Owns what every YOLO network has in common: grids of anchors, and the guesses that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Anchor = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything a network says of a batch, K guesses a picture: all heads one after another, anchor by anchor.

    `boxes` (N, K, 4) are shares of the input, not clipped; `objectness` (N, K) and `classes` (N, K, C) are logits.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor


class AnchoredNetwork(Protocol):
    """A network whose heads have a square grid each, of so many cells a side, in the order of its guesses.

    `anchors` holds for each grid the (width, height) of its typical boxes, as shares of the picture.
    """

    @property
    def grids(self) -> Sequence[int]: ...

    @property
    def anchors(self) -> Sequence[Sequence[Anchor]]: ...

    @property
    def class_count(self) -> int: ...
