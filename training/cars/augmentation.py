"""Owns what training changes in a picture, because it does not tell which model a car is."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.cars.config import AugmentationConfig


def augmented(pixels: Tensor, config: AugmentationConfig) -> Tensor:
    """Change uint8 pictures (B, H, W, 3), each in its own way; float (B, 3, H, W) of 0..1."""
    pictures = pixels.permute(0, 3, 1, 2).float() / 255
    if config.turn_degrees or config.zoom or config.stretch or config.shift or config.is_mirrored:
        pictures = _moved(pictures, config)
    if config.blurred:
        pictures = _some(config.blurred, _blurred(pictures), pictures)
    if config.grey:
        pictures = _some(config.grey, pictures.mean(dim=1, keepdim=True).expand_as(pictures), pictures)
    return _lit(pictures, config.light) if config.light else pictures


def _moved(pictures: Tensor, config: AugmentationConfig) -> Tensor:
    count = len(pictures)
    turn = math.radians(config.turn_degrees) * _evenly(count)
    size, stretch = 1 + config.zoom * _evenly(count), 1 + config.stretch * _evenly(count)
    mirror = torch.where(torch.rand(count) < 0.5 * config.is_mirrored, -1.0, 1.0)
    shift = 2 * config.shift * torch.empty(count, 2).uniform_(-1, 1)
    cosine, sine = torch.cos(turn) / size, torch.sin(turn) / size
    rows = (
        torch.stack((cosine * mirror * stretch, -sine, shift[:, 0]), dim=1),
        torch.stack((sine * mirror, cosine / stretch, shift[:, 1]), dim=1),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1).to(pictures.device), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _lit(pictures: Tensor, deviation: float) -> Tensor:
    """Other lamps and other cameras: brightness, contrast and a cast of colour."""
    count, device = len(pictures), pictures.device
    gain = 1 + deviation * torch.randn(count, 1, 1, 1) + deviation / 2 * torch.randn(count, 3, 1, 1)
    contrast = (1 + deviation * torch.randn(count, 1, 1, 1)).clamp(min=0.3)
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return (((pictures - mean) * contrast.to(device) + mean) * gain.to(device)).clamp(0, 1)


def _blurred(pictures: Tensor) -> Tensor:
    return F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)


def _some(share: float, changed: Tensor, pictures: Tensor) -> Tensor:
    is_changed = torch.rand(len(pictures), 1, 1, 1) < share
    return torch.where(is_changed.to(pictures.device), changed, pictures)


def _evenly(count: int) -> Tensor:
    return torch.empty(count).uniform_(-1, 1)
