"""Owns the compact residual network that turns an image into a unit embedding, preprocessing included."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.general.colour import ColourEmbedding


class ConvNorm(nn.Sequential):
    """A convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs)
        is_same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if is_same else _shortcut(inputs, outputs, stride)
        # The block starts as its shortcut, which steadies the first steps of training.
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d), "a ConvNorm normalises its convolution"
        nn.init.zeros_(norm.weight)

    def forward(self, activation: Tensor) -> Tensor:
        """Refine the activation."""
        return F.relu(self.second(F.relu(self.first(activation))) + self.shortcut(activation))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A 1x1 convolution behind a mean, which looks at every pixel where a stride would skip most of them (ResNet-D)."""
    return nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), ConvNorm(inputs, outputs, size=1))


class EmbeddingNetwork(nn.Module):
    """uint8 NHWC images (N, S, S, 3) in, unit embeddings float32 (N, D) out.

    The embedding has two parts, so a cosine of two embeddings is the weighted mean of two cosines: what is learned of
    the content, and the colours, which need no learning and hold for images unlike any that were trained on.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        blocks: Sequence[int],
        content_dimension: int,
        colour_dimension: int,
        colour_share: float,
    ) -> None:
        super().__init__()
        self.content = ContentNetwork(widths=widths, blocks=blocks, dimension=content_dimension)
        self.colour = ColourEmbedding(colour_dimension)
        self.dimension = content_dimension + colour_dimension
        self.colour_share = colour_share

    def forward(self, image: Tensor) -> Tensor:
        """Embed images as they are served, uint8 NHWC."""
        return self.embed(image.permute(0, 3, 1, 2).float())

    def embed(self, image: Tensor) -> Tensor:
        """Embed images float32 (N, 3, S, S) with values 0..255."""
        return self.join(self.content(image), self.colour(image))

    def join(self, content: Tensor, colour: Tensor) -> Tensor:
        """Put the two unit parts together, each with its share of every cosine."""
        return torch.cat([content * (1 - self.colour_share) ** 0.5, colour * self.colour_share**0.5], dim=1)


class ContentNetwork(nn.Module):
    """Images float32 (N, 3, S, S) with values 0..255 in, unit embeddings (N, D) of what they show out.

    The head reads the mean of every stage, not only of the last: early stages keep the texture that tells one apple
    from another, the last one knows shapes.
    """

    def __init__(self, *, widths: Sequence[int], blocks: Sequence[int], dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.stem = ConvNorm(3, widths[0], size=5, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(inputs, outputs, stride=2),
                *(ResidualBlock(outputs, outputs) for _ in range(count - 1)),
            )
            for (inputs, outputs), count in zip(pairwise(widths), blocks, strict=True)
        )
        pooled = sum(widths[1:]) + widths[-1]
        self.head = nn.Sequential(
            nn.BatchNorm1d(pooled), nn.Linear(pooled, dimension, bias=False), nn.BatchNorm1d(dimension)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Embed the content."""
        # To about -2..2, as the convolutions want them.
        activation = F.relu(self.stem((image - 127.5) / 64.0))
        pooled = []
        for stage in self.stages:
            activation = stage(activation)
            pooled.append(activation.mean(dim=(2, 3)))
        pooled.append(activation.amax(dim=(2, 3)))
        return F.normalize(self.head(torch.cat(pooled, dim=1).float()), dim=1)
