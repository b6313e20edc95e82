"""Owns a small text tower that reads a caption as a set of short phrases."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PhraseTower(nn.Module):
    """Words (N, T, W) and which of them are no padding (N, T) in, embeddings (N, D) out.

    Each word is read with its neighbours, `a red car`; the caption is what any of them says, and what all say on average.
    """

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.phrases = nn.Conv1d(width, width, 3, padding=1)
        self.norm = nn.LayerNorm(2 * width)
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, dimension))

    def forward(self, words: Tensor, is_word: Tensor) -> Tensor:
        said = is_word[:, None].to(words.dtype)
        phrases = F.relu(self.phrases(words.transpose(1, 2) * said)) * said
        mean = phrases.sum(dim=2) / said.sum(dim=2)
        return cast("Tensor", self.project(self.norm(torch.cat([phrases.amax(dim=2), mean], dim=1))))
