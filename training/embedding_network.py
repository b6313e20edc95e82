"""Owns the compact residual network that turns a picture into a unit embedding, preprocessing included."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    """A convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs)
        is_same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if is_same else ConvNorm(inputs, outputs, size=1, stride=stride)
        # The block starts as its shortcut, which steadies the first steps of training.
        nn.init.zeros_(self.second[1].weight)

    def forward(self, activation: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(activation))) + self.shortcut(activation))


class EmbeddingNetwork(nn.Module):
    """uint8 NHWC pictures (N, S, S, 3) in, unit embeddings float32 (N, D) out.

    The head reads the mean of every stage, not only of the last: early stages keep the colour and texture that tell
    one apple from another, the last one knows shapes.
    """

    def __init__(self, *, widths: Sequence[int], blocks: Sequence[int], dimension: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, widths[0], size=5, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(inputs, outputs, stride=2),
                *(ResidualBlock(outputs, outputs) for _ in range(count - 1)),
            )
            for (inputs, outputs), count in zip(pairwise(widths), blocks, strict=True)
        )
        self.head = nn.Sequential(
            nn.BatchNorm1d(sum(widths[1:]) + widths[-1]),
            nn.Linear(sum(widths[1:]) + widths[-1], dimension, bias=False),
            nn.BatchNorm1d(dimension),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.embed((image.permute(0, 3, 1, 2).float() - 127.5) / 64.0)

    def embed(self, activation: Tensor) -> Tensor:
        """Embed pictures already scaled, float32 (N, 3, S, S)."""
        activation = F.relu(self.stem(activation))
        pooled = []
        for stage in self.stages:
            activation = stage(activation)
            pooled.append(activation.mean(dim=(2, 3)))
        pooled.append(activation.amax(dim=(2, 3)))
        return F.normalize(self.head(torch.cat(pooled, dim=1).float()), dim=1)
