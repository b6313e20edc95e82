"""Owns a small convolutional tower that keeps the layout: what is where in a picture, down to the embedding."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F


class LayoutTower(nn.Module):
    """Pictures (N, 3, S, S) in, embeddings (N, D) out.

    Each stage halves the sides. The last grid is not averaged but read cell by cell, `cell_width` numbers of each, so
    that the embedding can tell left from right as a sketch does.
    """

    def __init__(self, image_px: int, widths: Sequence[int], cell_width: int, dimension: int) -> None:
        super().__init__()
        stages, channels = list[nn.Module](), 3
        for number, width in enumerate(widths):
            stages.append(_convolution(channels, width, stride=2))
            if number >= len(widths) // 2:
                stages.append(_Residual(width))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.cell = nn.Sequential(
            nn.Conv2d(channels, cell_width, 1, bias=False), nn.BatchNorm2d(cell_width), nn.ReLU(inplace=True)
        )
        cells = (image_px >> len(widths)) ** 2
        self.project = nn.Linear(cells * cell_width, dimension)

    def forward(self, picture: Tensor) -> Tensor:
        return cast("Tensor", self.project(self.cell(self.stages(picture)).flatten(1)))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width, stride=1)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, states: Tensor) -> Tensor:
        return F.relu(states + self.norm(self.second(self.first(states))))


def _convolution(channels: int, width: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
