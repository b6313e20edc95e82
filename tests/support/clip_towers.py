"""Computes CLIP's embeddings from its tensors by the published formulas alone, beside the networks under test."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, layer_norm, linear

HEAD_WIDTH = 64


Activation = Callable[[Tensor], Tensor]


def quick_gelu(hidden: Tensor) -> Tensor:
    """What OpenAI took for GELU."""
    return hidden * torch.sigmoid(1.702 * hidden)


def image_embedding(
    tensors: dict[str, Tensor], images: Tensor, *, tower: str = "visual", activation: Activation = quick_gelu
) -> Tensor:
    """Embed CLIP-normalised images (N, 3, S, S) as (N, D)."""
    own = {name.removeprefix(f"{tower}."): value for name, value in tensors.items() if name.startswith(f"{tower}.")}
    patches = conv2d(images, own["conv1.weight"], stride=own["conv1.weight"].shape[-1]).flatten(2).transpose(1, 2)
    first = own["class_embedding"].expand(len(images), 1, -1)
    states = _norm(own, "ln_pre", torch.cat((first, patches), dim=1) + own["positional_embedding"])
    states = _blocks(own, "transformer", states, activation, mask=torch.zeros(states.shape[1], states.shape[1]))
    return _norm(own, "ln_post", states[:, 0]) @ own["proj"]


def text_embedding(tensors: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Embed captions (N, T) as (N, D)."""
    length = tokens.shape[1]
    states = tensors["token_embedding.weight"][tokens] + tensors["positional_embedding"][:length]
    states = _blocks(tensors, "transformer", states, quick_gelu, mask=torch.full((length, length), -torch.inf).triu(1))
    states = _norm(tensors, "ln_final", states)
    ends = [caption.index(max(caption)) for caption in tokens.tolist()]
    return torch.stack([states[row, end] for row, end in enumerate(ends)]) @ tensors["text_projection"]


def _blocks(own: dict[str, Tensor], prefix: str, states: Tensor, activation: Activation, *, mask: Tensor) -> Tensor:
    count = len({name.split(".")[2] for name in own if name.startswith(f"{prefix}.resblocks.")})
    for number in range(count):
        block = f"{prefix}.resblocks.{number}"
        states = states + _attention(own, f"{block}.attn", _norm(own, f"{block}.ln_1", states), mask)
        hidden = _linear(own, f"{block}.mlp.c_fc", _norm(own, f"{block}.ln_2", states))
        states = states + _linear(own, f"{block}.mlp.c_proj", activation(hidden))
    return states


def _attention(own: dict[str, Tensor], name: str, states: Tensor, mask: Tensor) -> Tensor:
    thirds = linear(states, own[f"{name}.in_proj_weight"], own[f"{name}.in_proj_bias"]).chunk(3, dim=2)
    attended = []
    for query, key, value in zip(*(torch.split(third, HEAD_WIDTH, dim=2) for third in thirds), strict=True):
        attended.append((query @ key.transpose(1, 2) / HEAD_WIDTH**0.5 + mask).softmax(dim=2) @ value)
    return _linear(own, f"{name}.out_proj", torch.cat(attended, dim=2))


def _norm(own: dict[str, Tensor], name: str, states: Tensor) -> Tensor:
    return layer_norm(states, states.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"], eps=1e-5)


def _linear(own: dict[str, Tensor], name: str, states: Tensor) -> Tensor:
    return linear(states, own[f"{name}.weight"], own[f"{name}.bias"])
