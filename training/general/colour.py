"""Owns the colour half of the general embedding: how much of which colour a picture has, in few numbers."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

# Levels of each channel; a pixel between two levels counts for both, so a small change of light changes little.
LEVELS = 8
# Every fourth pixel of every fourth row: the share of a colour is the same, at a sixteenth of the cost.
STRIDE = 4


class ColourEmbedding(nn.Module):
    """Pictures float32 (N, 3, S, S) with values 0..255 in, unit colour embeddings (N, D) out; nothing here is trained.

    The square roots of the histogram's 512 shares are projected on the directions in which a set of pictures differs
    most, each divided by the root of its deviation: common differences count for less, rare ones for more.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.levels: Tensor
        self.mean: Tensor
        self.projection: Tensor
        self.register_buffer("levels", torch.linspace(0, 255, LEVELS), persistent=False)
        self.register_buffer("mean", torch.zeros(LEVELS**3))
        self.register_buffer("projection", torch.zeros(LEVELS**3, dimension))

    def forward(self, picture: Tensor) -> Tensor:
        """Embed the colours."""
        return F.normalize((self.roots(picture) - self.mean) @ self.projection, dim=1)

    def roots(self, picture: Tensor) -> Tensor:
        """The square roots of the shares of the 512 colours, (N, 512); each row has unit length."""
        pixels = picture[:, :, ::STRIDE, ::STRIDE].flatten(2)
        weights = (1 - (pixels[..., None] - self.levels).abs() * ((LEVELS - 1) / 255)).clamp(min=0)
        red, green, blue = weights.unbind(dim=1)
        pairs = (red[..., :, None] * green[..., None, :]).flatten(2)
        shares = (pairs.transpose(1, 2) @ blue).flatten(1) / pixels.shape[2]
        return shares.clamp(min=1e-12).sqrt()

    @torch.inference_mode()
    def fit(self, pixels: NDArray[np.uint8]) -> None:
        """Choose mean and directions from whole pictures, uint8 (N, S, S, 3)."""
        parts = [self.roots(torch.from_numpy(part).permute(0, 3, 1, 2).float()) for part in np.array_split(pixels, 40)]
        roots = torch.cat(parts)
        self.mean.copy_(roots.mean(dim=0))
        _, deviations, directions = torch.linalg.svd(roots - self.mean, full_matrices=False)
        count = self.projection.shape[1]
        deviations = deviations[:count] / len(roots) ** 0.5
        self.projection.copy_((directions[:count] / deviations[:, None].sqrt()).T)
