"""Owns the sketch tower: a drawing has a meaning and no looks; its strokes are brought to the width that DoodleNet knows."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.joint_space.config import JointSpaceConfig
from training.joint_space.labels import LabelEmbeddings

DRAWING_PX, CELL_PX = 28, 9
SIDE_PX = DRAWING_PX * CELL_PX
# DoodleNet learnt from strokes 16 of 256 pixels wide; with others it names one drawing in thirty.
STROKE_PX = 16 * SIDE_PX / 256
# The middle lines of the strokes leave so much of the square's side free at each edge.
MARGIN = 0.06
# Strokes are thickened by up to 16 pixels and thinned by up to 8, two pixels a step.
THICKER, THINNER = 8, 4
# The outline of a slanted stroke, counted along pixel edges, is about so much longer than it is.
STAIRCASE = 0.8


class Strokes(nn.Module):
    """`image` uint8 (N, S, S, 3), dark on light, in; light strokes on black, float32 (N, 1, 28, 28) of 0..1, out.

    Paper, shadows and specks are removed, the drawing fills the square, and its strokes have the width of DoodleNet's.
    """

    def forward(self, image: Tensor) -> Tensor:
        ink = _ink(image.float().mean(dim=3)[:, None] / 255)
        width = _stroke_width(ink)
        drawing, scale = _centred(ink, width)
        return F.avg_pool2d(_with_stroke_width(drawing, width * scale), CELL_PX)


class DrawingMeaning(nn.Module):
    """DoodleNet's probabilities (N, 345) in, `embedding` (N, D) of unit length out, which has a meaning alone."""

    def __init__(self, config: JointSpaceConfig, labels: LabelEmbeddings) -> None:
        super().__init__()
        before = config.looks_dimension
        self._around = (before, config.dimension - before - config.meaning.dimension)
        self.labels: Tensor
        self.register_buffer("labels", torch.from_numpy(labels.drawings.copy()))

    def forward(self, probabilities: Tensor) -> Tensor:
        return F.pad(F.normalize(probabilities @ self.labels, dim=1), self._around)


def _ink(brightness: Tensor) -> Tensor:
    """How much of each pixel is stroke, (N, 1, S, S) of 0..1, whatever the paper's light and texture."""
    paper = F.avg_pool2d(brightness, 5, 1, 2, count_include_pad=False)
    paper = F.avg_pool2d(F.max_pool2d(paper, 31, 1, 15), 31, 1, 15, count_include_pad=False)
    darkness = (1 - brightness / paper.clamp(min=0.05)).clamp(0, 1)
    threshold = 0.45 * F.avg_pool2d(darkness, 3, 1, 1).amax(dim=(2, 3), keepdim=True).clamp(min=0.27)
    ink = ((darkness - 0.8 * threshold) / (0.4 * threshold)).clamp(0, 1)
    # A speck of one pixel is not a stroke.
    strokes = (F.avg_pool2d(ink, 3, 1, 1) > 0.34).float()
    return ink * F.max_pool2d(strokes, 5, 1, 2)


def _stroke_width(ink: Tensor) -> Tensor:
    """How wide the strokes are, (N,) in pixels: their area by half the length of their outlines."""
    solid = (ink > 0.5).float()
    across, down = (solid[..., 1:] - solid[..., :-1]).abs(), (solid[..., 1:, :] - solid[..., :-1, :]).abs()
    outline = STAIRCASE * (across.sum(dim=(1, 2, 3)) + down.sum(dim=(1, 2, 3)))
    return 2 * solid.sum(dim=(1, 2, 3)) / outline.clamp(min=1)


def _centred(ink: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """The drawing in the middle of a square of 252 pixels, as large as fits; and by how much it was enlarged, (N,)."""
    side_px = ink.shape[-1]
    top, bottom = _ends((ink.amax(dim=3) > 0.5).float()[:, 0])
    left, right = _ends((ink.amax(dim=2) > 0.5).float()[:, 0])
    extent = torch.maximum(bottom - top, right - left) + 1
    span = (extent - width).clamp(min=1) / (1 - 2 * MARGIN)
    steps = (torch.arange(SIDE_PX, device=ink.device).float() + 0.5) / SIDE_PX - 0.5
    rows = ((top + bottom + 1) / 2)[:, None] + steps * span[:, None]
    columns = ((left + right + 1) / 2)[:, None] + steps * span[:, None]
    vertical = (rows / side_px * 2 - 1)[:, :, None].expand(-1, -1, SIDE_PX)
    horizontal = (columns / side_px * 2 - 1)[:, None, :].expand(-1, SIDE_PX, -1)
    return F.grid_sample(ink, torch.stack([horizontal, vertical], dim=3), align_corners=False), SIDE_PX / span


def _ends(is_inked: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last position (N,) that has ink, of (N, S); of an empty drawing the whole range."""
    positions = torch.arange(is_inked.shape[1], device=is_inked.device).float()
    outside = (1 - is_inked) * is_inked.shape[1]
    last = is_inked.shape[1] - 1
    first, final = (positions + outside).amin(dim=1), (positions - outside).amax(dim=1)
    return first.clamp(max=last) * (first <= last), torch.where(final >= 0, final, torch.full_like(final, last))


def _with_stroke_width(drawing: Tensor, width: Tensor) -> Tensor:
    """The drawing, whose strokes are `width` (N,) wide, with strokes of DoodleNet's width."""
    steps = ((STROKE_PX - width) / 2).round().clamp(-THINNER, THICKER)
    thinner, thicker = [drawing], [drawing]
    for _ in range(THINNER):
        thinner.append(-_dilated(-thinner[-1], 3))
    for step in range(THICKER):
        # Square and cross in turn make a disc.
        thicker.append(_dilated(thicker[-1], 3) if step % 2 else _crossed(thicker[-1]))
    levels = torch.stack([*reversed(thinner[1:]), *thicker], dim=1)
    chosen = F.one_hot((steps + THINNER).long(), levels.shape[1]).float()
    return (levels * chosen[:, :, None, None, None]).sum(dim=1)


def _dilated(drawing: Tensor, size: int) -> Tensor:
    return F.max_pool2d(drawing, size, 1, size // 2)


def _crossed(drawing: Tensor) -> Tensor:
    tall, wide = F.max_pool2d(drawing, (3, 1), 1, (1, 0)), F.max_pool2d(drawing, (1, 3), 1, (0, 1))
    return torch.maximum(tall, wide)
