"""Owns the small towers that stand in for CLIP's: of an image by its layout, of a caption by its phrases."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayoutTower(nn.Module):
    """Keeps what is where in an image, and what is there at all: images (N, 3, S, S) in, embeddings (N, D) out.

    Each stage halves the sides. The last grid is read twice: cell by cell, `cell_width` numbers of each, so that the
    embedding tells left from right as a sketch does; and by what is anywhere, `pooled_width` numbers, as words do.
    """

    def __init__(
        self, image_px: int, widths: Sequence[int], *, cell_width: int, pooled_width: int, dimension: int
    ) -> None:
        super().__init__()
        stages, channels = list[nn.Module](), 3
        for number, width in enumerate(widths):
            stages.append(_convolution(channels, width, stride=2))
            if number >= len(widths) // 2:
                stages.append(_Residual(width))
            channels = width
        self.stages = nn.Sequential(*stages)
        cells = (image_px >> len(widths)) ** 2
        self.cell = _convolution(channels, cell_width, kernel=1)
        self.project_cells = nn.Linear(cells * cell_width, dimension)
        self.pooled = _convolution(channels, pooled_width, kernel=1)
        self.project_pooled = nn.Linear(2 * pooled_width, dimension)

    def forward(self, image: Tensor) -> Tensor:
        grid = self.stages(image)
        pooled = self.pooled(grid)
        anywhere = torch.cat([pooled.amax(dim=(2, 3)), pooled.mean(dim=(2, 3))], dim=1)
        return cast("Tensor", self.project_cells(self.cell(grid).flatten(1)) + self.project_pooled(anywhere))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, states: Tensor) -> Tensor:
        return F.relu(states + self.norm(self.second(self.first(states))))


def _convolution(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class PhraseTower(nn.Module):
    """Reads a caption as a set of short phrases: words (N, T, W) and which of them are not padding (N, T) in, embeddings (N, D) out.

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
