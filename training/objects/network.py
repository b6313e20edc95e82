"""Owns the compact YOLO network: three grids over one backbone, its decoding inside the graph."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.general.network import ConvNorm, ResidualBlock
from training.models.anchored import Anchor, Prediction, expect_few_objects


class DetectorNetwork(nn.Module):
    """uint8 NHWC images in; `boxes` float32 (N, K, 4) and `scores` float32 (N, K, C) out.

    `widths` has the stem's and each stage's channels; the last three stages (strides 8, 16, 32) feed a grid each.
    `anchors` holds for each grid the (width, height) of its typical boxes, in normalized coordinates of the image.
    """

    def __init__(
        self,
        *,
        size_px: int,
        widths: Sequence[int],
        neck: int,
        anchors: Sequence[Sequence[Anchor]],
        class_count: int,
    ) -> None:
        super().__init__()
        if size_px % 32:
            raise ValueError(f"size_px must be a multiple of 32, the coarsest grid's cell, and is {size_px}")
        self.anchors, self.class_count = anchors, class_count
        self.grids = tuple(size_px // stride for stride in (8, 16, 32))
        self.stem = ConvNorm(3, widths[0], size=5, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(inputs, outputs, stride=2), *(ResidualBlock(outputs, outputs) for _ in range(more))
            )
            for inputs, outputs, more in zip(widths[:-1], widths[1:], (0, 1, 1, 0), strict=True)
        )
        self.laterals = nn.ModuleList(ConvNorm(width, neck, size=1) for width in widths[-3:])
        self.smooths = nn.ModuleList(ConvNorm(neck, neck) for _ in self.grids)
        heads = [nn.Conv2d(neck, len(group) * (5 + class_count), 1) for group in anchors]
        for head in heads:
            expect_few_objects(head, class_count)
        self.heads = nn.ModuleList(heads)

        for index, (grid, group) in enumerate(zip(self.grids, anchors, strict=True)):
            rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
            self.register_buffer(f"cells_{index}", torch.stack([columns, rows], dim=-1).float(), persistent=False)
            self.register_buffer(f"anchors_{index}", torch.tensor(group).view(-1, 1, 1, 2), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and scores; a score is objectness times class."""
        prediction = self.predict(image.permute(0, 3, 1, 2).float())
        return prediction.boxes, prediction.objectness.sigmoid()[..., None] * prediction.classes.sigmoid()

    def predict(self, images: Tensor) -> Prediction:
        """Guess on RGB images of 0..255, float32 (N, 3, S, S)."""
        raw = [
            self._unfold(head(F.relu(smooth(level))), grid)
            for head, smooth, level, grid in zip(
                self.heads, self.smooths, self._pyramid((images - 127.5) / 64.0), self.grids, strict=True
            )
        ]
        boxes = [self._decode(maps[..., :4].float(), index) for index, maps in enumerate(raw)]
        rest = torch.cat([maps[..., 4:].flatten(1, 3) for maps in raw], dim=1).float()
        return Prediction(torch.cat(boxes, dim=1), rest[..., 0], rest[..., 1:])

    def _pyramid(self, activation: Tensor) -> list[Tensor]:
        """The three levels, fine to coarse; each fine one also knows what the coarser ones saw."""
        activation = F.relu(self.stem(activation))
        levels = []
        for stage in self.stages:
            activation = stage(activation)
            levels.append(activation)
        fine, middle, coarse = (lateral(level) for lateral, level in zip(self.laterals, levels[-3:], strict=True))
        middle = middle + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = fine + F.interpolate(middle, scale_factor=2.0, mode="nearest")
        return [fine, middle, coarse]

    def _unfold(self, maps: Tensor, grid: int) -> Tensor:
        """(N, A*(5+C), G, G) → (N, A, G, G, 5+C)."""
        return maps.view(maps.shape[0], -1, 5 + self.class_count, grid, grid).permute(0, 1, 3, 4, 2)

    def _decode(self, maps: Tensor, index: int) -> Tensor:
        """Corners (N, A*G*G, 4) from the offsets in each cell and the factors on each anchor."""
        centre = (maps[..., :2].sigmoid() + getattr(self, f"cells_{index}")) / self.grids[index]
        half = maps[..., 2:].clamp(max=4).exp() * getattr(self, f"anchors_{index}") / 2
        return torch.cat([centre - half, centre + half], dim=-1).flatten(1, 3)
