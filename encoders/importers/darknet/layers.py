"""The layers of a Darknet network of the YOLOv3 family, with their shapes."""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["linear", "leaky", "relu", "relu6", "mish", "swish", "logistic"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels, height and width of a layer's output."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer's number in the file, counted from the one after [net], and the shape of its output."""

    number: int
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolutional(Layer):
    """A convolution; with `batch_normalize` it has no bias of its own."""

    in_channels: int
    size: int
    stride: int
    padding: int
    groups: int
    batch_normalize: bool
    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut(Layer):
    """The layer before plus the layers `sources`."""

    sources: tuple[int, ...]
    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Layer):
    """The layers `sources` side by side, of each only group `group_id` of its channels cut into `groups`."""

    sources: tuple[int, ...]
    groups: int
    group_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsample(Layer):
    """Every pixel repeated `stride` times in both directions."""

    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool(Layer):
    """The largest value of each window; `padding` is the sum of both sides, the smaller half first."""

    size: int
    stride: int
    padding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Layer):
    """A layer of training alone, which copies its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yolo(Layer):
    """A head that finds objects; `anchors` are (width, height) in pixels of the network's input, already masked.

    `scale_x_y` stretches the sigmoid of a box's centre, so that it reaches the borders of its cell.
    """

    anchors: tuple[tuple[float, float], ...]
    classes: int
    scale_x_y: float


@dataclass(frozen=True, slots=True)
class Network:
    """A whole `.cfg`: the input's shape and the layers in order, numbered as Darknet numbers them.

    `letter_box` is AlexeyAB's option of `[net]`: images are padded to the input's shape, not stretched.
    """

    input: Shape
    layers: tuple[Layer, ...]
    letter_box: bool = False

    @property
    def heads(self) -> tuple[Yolo, ...]:
        """The layers that find objects."""
        return tuple(layer for layer in self.layers if isinstance(layer, Yolo))

    @property
    def convolutions(self) -> tuple[Convolutional, ...]:
        """The layers that have weights, in the order of the weights file."""
        return tuple(layer for layer in self.layers if isinstance(layer, Convolutional))
