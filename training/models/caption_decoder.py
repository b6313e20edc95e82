"""Owns the caption decoder that TASK-former trains with, under the names of x-transformers 0.20.5."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD_WIDTH = 64


class CaptionDecoder(nn.Module):
    """Tokens (N, T) and one context vector each (N, D) in, logits of the next token (N, T, V) out."""

    def __init__(self, *, tokens: int, max_tokens: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.net = _Transformer(tokens=tokens, max_tokens=max_tokens, width=width, depth=depth, heads=heads)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        return cast("Tensor", self.net(tokens, context[:, None]))


class _Transformer(nn.Module):
    def __init__(self, *, tokens: int, max_tokens: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.token_emb = nn.Embedding(tokens, width)
        nn.init.kaiming_normal_(self.token_emb.weight)
        self.pos_emb = _Positions(max_tokens, width)
        self.attn_layers = _Layers(width, depth, heads)
        self.norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, tokens)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        words = self.token_emb(tokens)
        return cast("Tensor", self.to_logits(self.norm(self.attn_layers(words + self.pos_emb(words), context))))


class _Positions(nn.Module):
    def __init__(self, max_tokens: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(max_tokens, width)
        self.scale = width**-0.5

    def forward(self, words: Tensor) -> Tensor:
        return cast("Tensor", self.emb.weight[: words.shape[1]] * self.scale)


class _Layers(nn.Module):
    """`depth` times: attention to the words so far, attention to the context, feed-forward; each normed before."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(width), block])
            for _ in range(depth)
            for block in (_Attention(width, heads), _Attention(width, heads), _FeedForward(width))
        )

    def forward(self, states: Tensor, context: Tensor) -> Tensor:
        for index, (norm, block) in enumerate(cast("nn.ModuleList", pair) for pair in self.layers):
            normed = norm(states)
            match index % 3:
                case 0:
                    states = states + block(normed, normed, is_causal=True)
                case 1:
                    states = states + block(normed, context, is_causal=False)
                case _:
                    states = states + block(normed)
        return states


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        inner = heads * HEAD_WIDTH
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, width)

    def forward(self, states: Tensor, context: Tensor, *, is_causal: bool) -> Tensor:
        query, key, value = (
            part.unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2)
            for part in (self.to_q(states), self.to_k(context), self.to_v(context))
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
        return cast("Tensor", self.to_out(attended.transpose(1, 2).flatten(2)))


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # The two identities keep the published numbers of the layers.
        self.net = nn.Sequential(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU()),
            nn.Identity(),
            nn.Identity(),
            nn.Linear(4 * width, width),
        )

    def forward(self, states: Tensor) -> Tensor:
        return cast("Tensor", self.net(states))


def greedy_caption(decoder: CaptionDecoder, context: Tensor, *, start: int, end: int, max_tokens: int) -> Tensor:
    """Write the likeliest caption of one context vector (D,), start and end included: int64 (T,)."""
    tokens = torch.tensor([[start]], device=context.device)
    while tokens.shape[1] < max_tokens and tokens[0, -1] != end:
        following = decoder(tokens, context[None])[:, -1].argmax(dim=1, keepdim=True)
        tokens = torch.cat((tokens, following), dim=1)
    return tokens[0]
