"""Owns the car network: a ResNet, the published pooling, and one or two scales of the image."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet, resnet18, resnet50
from torchvision.models.resnet import BasicBlock

Backbone = Literal["resnet18", "resnet50"]
Pooling = Literal["power", "attention"]

EPSILON = 1e-7
SECOND_SCALE = 1.4147


@dataclass(frozen=True, slots=True)
class CompCarsConfig:
    """The defaults are the published network.

    `is_two_scale` embeds the image as it is and 1.4147 times as large, side by side: twice the dimensions, always
    with power pooling. `classes` adds the classifier of training; 0 has none.
    """

    backbone: Backbone = "resnet50"
    pooling: Pooling = "power"
    is_two_scale: bool = False
    classes: int = 0
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.width != 1 and self.backbone != "resnet18":
            raise ValueError(f"width={self.width} scales resnet18 only, not {self.backbone}")


class CompCars(nn.Module):
    """RGB images of 0..1 (N, 3, 224, 224) in, unit embeddings (N, D) out; no mean is subtracted."""

    def __init__(self, config: CompCarsConfig) -> None:
        super().__init__()
        self.config = config
        self.resnet = _resnet(config)
        channels: int = self.resnet.fc.in_features
        self.resnet.fc = nn.Identity()
        self.p = nn.Parameter(torch.full((1,), 3.0))
        self.gem_proj = nn.Linear(channels, channels)
        if config.pooling == "attention":
            self.sa = SpatialAttention()
        if config.classes:
            self.fc1 = nn.Linear(channels, config.classes)

    def forward(self, image: Tensor) -> Tensor:
        if not self.config.is_two_scale:
            return _unit(self.pool(image))
        # int: a graph is exported for one size of image.
        size_px = [round(int(side) * SECOND_SCALE) for side in image.shape[2:]]
        larger = F.interpolate(image, size_px, mode="bilinear", align_corners=True)
        return _unit(torch.cat([_unit(self._power_pooled(scale)) for scale in (image, larger)], dim=1))

    def classify(self, image: Tensor) -> Tensor:
        """Name the model of the car: logits (N, classes)."""
        return self.logits(self.pool(image))

    def logits(self, pooled: Tensor) -> Tensor:
        """The classifier's answer to what `pool` gives. Power pooling classifies what search compares."""
        return cast("Tensor", self.fc1(pooled if self.config.pooling == "attention" else _unit(pooled)))

    def pool(self, image: Tensor) -> Tensor:
        """Embed one scale, before normalisation (N, C)."""
        if self.config.pooling == "power":
            return self._power_pooled(image)
        activation = _activation(self.resnet, image)
        return cast("Tensor", (activation * self.sa(activation)).sum(dim=(2, 3)))

    def _power_pooled(self, image: Tensor) -> Tensor:
        return cast("Tensor", self.gem_proj(power_pool(_activation(self.resnet, image), self.p)))


class SpatialAttention(nn.Module):
    """Weights of 0..1 for each place, from the mean and the maximum over the channels: (N, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, activation: Tensor) -> Tensor:
        summary = torch.cat((activation.mean(dim=1, keepdim=True), activation.amax(dim=1, keepdim=True)), dim=1)
        return cast("Tensor", self.conv(summary).sigmoid())


class NarrowResNet(ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's resnet18, every stage `width` times as wide, under the same parameter names."""

    def __init__(self, width: float) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        channels = [round(stage * width) for stage in (64, 128, 256, 512)]
        self.inplanes = channels[0]
        self.conv1 = nn.Conv2d(3, channels[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.layer1 = self._make_layer(BasicBlock, channels[0], 2)
        self.layer2 = self._make_layer(BasicBlock, channels[1], 2, stride=2)
        self.layer3 = self._make_layer(BasicBlock, channels[2], 2, stride=2)
        self.layer4 = self._make_layer(BasicBlock, channels[3], 2, stride=2)
        self.fc = nn.Linear(channels[3], 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def power_pool(activation: Tensor, power: Tensor) -> Tensor:
    """Pool each channel as published, (N, C, H, W) of at least 0 to (N, C).

    It is called GeM there, but divides the sum of powers by the channel's L2 norm, where GeM takes their mean.
    """
    # A power of 0 or less would be infinite where nothing was seen.
    power = power.clamp(min=0.1)
    cells = activation.flatten(2)
    return ((cells**power).sum(dim=2) / (_norm(cells, 2) + EPSILON) + 0.1) ** (1 / power)


def _resnet(config: CompCarsConfig) -> ResNet:
    if config.width != 1:
        return NarrowResNet(config.width)
    return resnet18() if config.backbone == "resnet18" else resnet50()


def _activation(resnet: ResNet, image: Tensor) -> Tensor:
    activation = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(image))))
    for stage in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        activation = stage(activation)
    # Powers need more digits than bfloat16 has, in which the convolutions may be trained.
    return cast("Tensor", activation.float())


def _unit(embedding: Tensor) -> Tensor:
    return embedding / (_norm(embedding, 1)[:, None] + EPSILON)


def _norm(values: Tensor, dim: int) -> Tensor:
    return cast("Tensor", torch.linalg.vector_norm(values, dim=dim))
