"""Owns the colour part of the general embedding: how much of which colour an image has, in few numbers."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

# Brightness, red against green, yellow against blue: how many levels, and from where to where. Hue has finer levels than
# brightness, which changes with the lamp. A pixel between two levels counts for both.
AXES = ((6, 0.0, 255.0), (13, -128.0, 128.0), (13, -160.0, 160.0))
COLOURS = 6 * 13 * 13
# Every fourth pixel of every fourth row: the share of a colour is the same, at a sixteenth of the cost.
STRIDE = 4
# What an image is of is more often in its middle: this far from there, in half sides, a pixel counts e^-0.5.
REACH = 0.7


class ColourEmbedding(nn.Module):
    """Images float32 (N, 3, S, S) with values 0..255 in, unit colour embeddings (N, D) out; nothing here is trained.

    The square roots of the histogram's 1,014 shares are projected on the directions in which a set of images differs
    most, each divided by the root of its deviation: common differences count for less, rare ones for more.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.projection: Tensor
        self.register_buffer("mean", torch.zeros(COLOURS))
        self.register_buffer("projection", torch.zeros(COLOURS, dimension))

    def forward(self, image: Tensor) -> Tensor:
        """Embed the colours."""
        return F.normalize((self.roots(image) - self.mean) @ self.projection, dim=1)

    def roots(self, image: Tensor) -> Tensor:
        """The square roots of the fractions of the 1,014 colours, (N, 1014); each row has unit length."""
        pixels = image[:, :, ::STRIDE, ::STRIDE]
        attention = _attention(pixels)
        red, green, blue = pixels.flatten(2).unbind(dim=1)
        opponents = ((red + green + blue) / 3, red - green, (red + green) / 2 - blue)
        brightness, red_green, yellow_blue = (
            _memberships(values, *axis) for values, axis in zip(opponents, AXES, strict=True)
        )
        pairs = (brightness[..., :, None] * red_green[..., None, :]).flatten(2) * attention[:, None]
        fractions = (pairs.transpose(1, 2) @ yellow_blue).flatten(1)
        return fractions.clamp(min=1e-12).sqrt()

    @torch.inference_mode()
    def fit(self, pixels: NDArray[np.uint8]) -> None:
        """Choose mean and directions from whole images, uint8 (N, S, S, 3)."""
        parts = [self.roots(torch.from_numpy(part).permute(0, 3, 1, 2).float()) for part in np.array_split(pixels, 40)]
        roots = torch.cat(parts)
        self.mean.copy_(roots.mean(dim=0))
        _, deviations, directions = torch.linalg.svd(roots - self.mean, full_matrices=False)
        count = self.projection.shape[1]
        deviations = deviations[:count] / len(roots) ** 0.5
        self.projection.copy_((directions[:count] / deviations[:, None].sqrt()).T)


def _memberships(values: Tensor, levels: int, least: float, most: float) -> Tensor:
    """How much of each value (…,) belongs to each level, (…, levels): 1 at it, 0 at its neighbours."""
    centres = torch.linspace(least, most, levels, device=values.device)
    step = (most - least) / (levels - 1)
    return (1 - (values.clamp(least, most)[..., None] - centres).abs() / step).clamp(min=0)


def _attention(pixels: Tensor) -> Tensor:
    """How much each pixel of images (N, 3, H, W) counts, (H * W,); 1 in all."""
    down, right = (torch.linspace(-1, 1, side, device=pixels.device) for side in pixels.shape[2:])
    attention = torch.exp(-(down[:, None] ** 2 + right**2) / (2 * REACH**2)).flatten()
    return attention / attention.sum()
