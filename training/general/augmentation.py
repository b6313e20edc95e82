"""How a view is changed each time it is learned from: turned, resized, mirrored and lit differently."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.affine_grid import affine_grid

TURN = math.radians(6)


Zoom = tuple[float, float]


def augment(pixels: Tensor, size_px: int, zoom: Zoom) -> Tensor:
    """Change uint8 views (B, S, S, 3), each in its own way, into float32 (B, 3, size_px, size_px) of 0..255."""
    return light(look(pixels.permute(0, 3, 1, 2).contiguous().float(), size_px, zoom))


def look(images: Tensor, size_px: int, zoom: Zoom) -> Tensor:
    """Cut windows of `size_px` out of images (B, 3, S, S), resized by a factor of `zoom`, turned, half of them mirrored."""
    count, width = len(images), images.shape[3]
    turn = TURN * torch.randn(count)
    share = size_px / width / torch.empty(count).uniform_(*zoom)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    # Windows that stay inside move as far as they can; one that is larger than the image stays in the middle.
    shift = (1 - share).clamp(min=0)[:, None] * torch.empty(count, 2).uniform_(-1, 1)
    cosine, sine = share * torch.cos(turn), share * torch.sin(turn)
    rows = [torch.stack([cosine * mirror, -sine, shift[:, 0]], 1), torch.stack([sine * mirror, cosine, shift[:, 1]], 1)]
    grid = affine_grid(torch.stack(rows, 1).to(images.device), (size_px, size_px))
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def light(images: Tensor) -> Tensor:
    """Change what a lamp or a camera changes, and mildly: colour is what tells many groceries apart."""
    count, device = len(images), images.device
    gain = (1 + 0.12 * torch.randn(count, 1, 1, 1) + 0.04 * torch.randn(count, 3, 1, 1)).to(device)
    contrast = (1 + 0.12 * torch.randn(count, 1, 1, 1)).to(device)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images * (contrast * gain)).add_(mean * (1 - contrast) * gain).clamp_(0, 255)
