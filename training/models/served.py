"""Owns the form in which every network is served: pixels or tokens in, unit embeddings out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a network subtracts from RGB of 0..1, and then divides it by."""

    mean: Colour
    std: Colour


DCMPL_SCALING = Scaling(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLIP_SCALING = Scaling(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
COMPCARS_SCALING = Scaling(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class PictureEncoder(nn.Module):
    """`image` uint8 (N, H, W, 3) in, `embedding` float32 (N, D) of unit length out."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, embed: Callable[[Tensor], Tensor], scaling: Scaling) -> None:
        """`embed` is the method of `network` that embeds scaled pictures (N, 3, H, W)."""
        super().__init__()
        self.network, self.embed = network, embed
        self.register_buffer("mean", torch.tensor(scaling.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(scaling.std)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        scaled = (image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        return F.normalize(self.embed(scaled), dim=1)


class TextEncoder(nn.Module):
    """`tokens` int64 (N, T) and `lengths` int64 (N,) in, `embedding` float32 (N, D) of unit length out."""

    def __init__(self, network: nn.Module, embed: Callable[[Tensor, Tensor], Tensor]) -> None:
        """`embed` is the method of `network` that embeds tokens and lengths."""
        super().__init__()
        self.network, self.embed = network, embed

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return F.normalize(self.embed(tokens, lengths), dim=1)
