"""Owns YOLOv3 and its kin as trainable networks, built from their Darknet `.cfg`."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.importers.darknet.layers import (
    Activation,
    Convolutional,
    Layer,
    MaxPool,
    Network,
    Route,
    Shape,
    Shortcut,
    Upsample,
    Yolo,
)
from training.models.anchored import Anchor, Prediction, expect_few_objects

BATCH_NORM_EPSILON = 1e-5
# e^16 anchors are far beyond any image, and still a number.
MAX_GROWTH = 16.0
_ACTIVATIONS: Mapping[Activation, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "leaky": partial(nn.LeakyReLU, 0.1),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "mish": nn.Mish,
    "swish": nn.SiLU,
    "logistic": nn.Sigmoid,
}


class YoloNetwork(nn.Module):
    """uint8 NHWC images in; `boxes` float32 (N, K, 4) and `scores` float32 (N, K, C) out, as served.

    `layers` are numbered as in the `.cfg`. Training needs a square input, for the loss knows square grids only.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if not network.heads:
            raise ValueError("this .cfg has no [yolo] layer, so it detects nothing")
        self.network = network
        self.layers = nn.ModuleList(_module(layer, network.input) for layer in network.layers)
        self.anchors = tuple(_normalized_anchors(head, network.input) for head in network.heads)
        self.class_count = network.heads[0].classes
        for head in network.heads:
            before = next(self.layers[head.number - 1].children(), None)
            if isinstance(before, nn.Conv2d) and before.bias is not None:
                expect_few_objects(before, head.classes)

    @property
    def grids(self) -> tuple[int, ...]:
        """Cells a side of each head; a ValueError where they are not square."""
        shapes = [head.shape for head in self.network.heads]
        if any(shape.width != shape.height for shape in shapes):
            raise ValueError("training needs a square input; make width and height in the .cfg's [net] equal")
        return tuple(shape.width for shape in shapes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        prediction = self.predict(image.permute(0, 3, 1, 2).float())
        return prediction.boxes, prediction.objectness.sigmoid()[..., None] * prediction.classes.sigmoid()

    def predict(self, images: Tensor) -> Prediction:
        """Guess on RGB images of 0..255, float32 (N, 3, H, W) of the `.cfg`'s size."""
        activation = images / 255
        outputs: list[Tensor] = []
        heads: list[Tensor] = []
        for layer, module in zip(self.network.layers, self.layers, strict=True):
            match layer:
                case Shortcut():
                    activation = module(activation + sum(outputs[source] for source in layer.sources))
                case Route():
                    activation = torch.cat([_group(layer, outputs[source]) for source in layer.sources], dim=1)
                case Yolo():
                    heads.append(module(activation))
                case _:
                    activation = module(activation)
            outputs.append(activation)
        rows = torch.cat(heads, dim=1)
        return Prediction(rows[..., :4], rows[..., 4], rows[..., 5:])


class YoloHead(nn.Module):
    """Raw maps (N, A·(5+C), H, W) in, guesses (N, A·H·W, 5+C) out: corners, then the logits."""

    corner: Tensor
    stretch: Tensor
    size: Tensor

    def __init__(self, layer: Yolo, anchors: tuple[Anchor, ...]) -> None:
        super().__init__()
        self.anchors, self.scale_x_y = len(anchors), layer.scale_x_y
        rows, columns = torch.meshgrid(torch.arange(layer.shape.height), torch.arange(layer.shape.width), indexing="ij")
        # Stretched around its middle, the sigmoid starts a little before its cell.
        corner = torch.stack((columns, rows), dim=2).float() - (layer.scale_x_y - 1) / 2
        grid = torch.tensor([layer.shape.width, layer.shape.height])
        self.register_buffer("corner", corner / grid, persistent=False)
        self.register_buffer("stretch", layer.scale_x_y / grid, persistent=False)
        self.register_buffer("size", torch.tensor(anchors)[:, None, None], persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        batch, _, height, width = maps.shape
        raw = maps.reshape(batch, self.anchors, -1, height, width).permute(0, 1, 3, 4, 2).float()
        centre = raw[..., :2].sigmoid() * self.stretch + self.corner
        half = raw[..., 2:4].clamp(max=MAX_GROWTH).exp() * self.size / 2
        return torch.cat((centre - half, centre + half, raw[..., 4:]), dim=4).flatten(1, 3)


class _Pool(nn.Module):
    """The maximum of each window; what lies outside the image does not count."""

    def __init__(self, layer: MaxPool) -> None:
        super().__init__()
        first, last = layer.padding // 2, layer.padding - layer.padding // 2
        self.padding, self.size, self.stride = (first, last, first, last), layer.size, layer.stride

    def forward(self, activation: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(activation, self.padding, value=-torch.inf), self.size, self.stride)


def _module(layer: Layer, image: Shape) -> nn.Module:
    match layer:
        case Convolutional():
            return _convolution(layer)
        case Shortcut():
            return _ACTIVATIONS[layer.activation]()
        case Upsample():
            return nn.Upsample(scale_factor=layer.stride, mode="nearest")
        case MaxPool():
            return _Pool(layer)
        case Yolo():
            return YoloHead(layer, _normalized_anchors(layer, image))
        case _:
            return nn.Identity()


def _convolution(layer: Convolutional) -> nn.Sequential:
    convolution = nn.Conv2d(
        layer.in_channels,
        layer.shape.channels,
        layer.size,
        layer.stride,
        layer.padding,
        groups=layer.groups,
        bias=not layer.batch_normalize,
    )
    norm = nn.BatchNorm2d(layer.shape.channels, eps=BATCH_NORM_EPSILON) if layer.batch_normalize else nn.Identity()
    return nn.Sequential(convolution, norm, _ACTIVATIONS[layer.activation]())


def _group(layer: Route, activation: Tensor) -> Tensor:
    return activation.chunk(layer.groups, dim=1)[layer.group_id]


def _normalized_anchors(layer: Yolo, image: Shape) -> tuple[Anchor, ...]:
    return tuple((width / image.width, height / image.height) for width, height in layer.anchors)
