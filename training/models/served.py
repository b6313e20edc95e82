"""Owns the form in which every network is served, pixels or tokens in and unit embeddings out, and its outputs in torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 25

Colour = tuple[float, float, float]
Inputs = Mapping[str, NDArray[Any]]
Outputs = Sequence[NDArray[np.float32]]
"""What a network says of N inputs: an array (N, …) for each of its outputs, in their order."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a network subtracts from RGB of 0..1, and then divides it by."""

    mean: Colour
    std: Colour


DCMPL_SCALING = Scaling(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLIP_SCALING = Scaling(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
COMPCARS_SCALING = Scaling(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class ImageEncoder(nn.Module):
    """`image` uint8 (N, H, W, 3) in, `embedding` float32 (N, D) of unit length out."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, embed: Callable[[Tensor], Tensor], scaling: Scaling) -> None:
        """`embed` is the method of `network` that embeds scaled images (N, 3, H, W)."""
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


def torch_outputs(network: nn.Module, inputs: Inputs) -> Outputs:
    """What the network says of the inputs, in torch, on whichever device it is."""
    parts, device = [], next(network.parameters()).device
    with torch.inference_mode():
        for batch in batches(inputs):
            answer = network(*(torch.from_numpy(values).to(device) for values in batch.values()))
            parts.append([output.cpu().numpy() for output in (answer if isinstance(answer, tuple) else (answer,))])
    return joined(parts)


def batches(inputs: Inputs) -> Iterator[dict[str, NDArray[Any]]]:
    """Take the inputs apart as they are served: tokens only as long as the longest text of their batch."""
    count = len(next(iter(inputs.values())))
    for start in range(0, count, BATCH):
        batch = {name: values[start : start + BATCH] for name, values in inputs.items()}
        if "tokens" in batch:
            batch["tokens"] = batch["tokens"][:, : int(batch["lengths"].max())]
        yield batch


def joined(parts: Sequence[Sequence[NDArray[np.float32]]]) -> Outputs:
    """Put the outputs of batches together."""
    return [np.concatenate(output) for output in zip(*parts, strict=True)]
