"""Owns what training changes in an image, because it does not tell which model a car is."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.affine_grid import affine_grid
from training.cars.config import AugmentationConfig


def augmented(pixels: Tensor, config: AugmentationConfig, scale: float = 1.0) -> Tensor:
    """Change uint8 images (B, H, W, 3), each in its own way; float (B, 3, scale H, scale W) of 0..1.

    A network for a CPU learns about as fast as its images are changed, so whatever can be is done in place.
    """
    images = pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)
    if config.turn_degrees or config.zoom or config.stretch or config.shift or config.is_mirrored or scale != 1:
        images = _moved(images, config, scale)
    if config.blurred:
        rows = _some(config.blurred, images)
        images[rows] = F.avg_pool2d(images[rows], 3, stride=1, padding=1, count_include_pad=False)
    if config.grey:
        rows = _some(config.grey, images)
        images[rows] = images[rows].mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    return _lit(images, config.light) if config.light else images


def _moved(images: Tensor, config: AugmentationConfig, scale: float) -> Tensor:
    count, _, height, width = images.shape
    turn = math.radians(config.turn_degrees) * _evenly(count)
    zoom, stretch = 1 + config.zoom * _evenly(count), 1 + config.stretch * _evenly(count)
    mirror = torch.where(torch.rand(count) < 0.5 * config.is_mirrored, -1.0, 1.0)
    shift = 2 * config.shift * torch.empty(count, 2).uniform_(-1, 1)
    cosine, sine = torch.cos(turn) / zoom, torch.sin(turn) / zoom

    rows = (
        torch.stack((cosine * mirror * stretch, -sine, shift[:, 0]), dim=1),
        torch.stack((sine * mirror, cosine / stretch, shift[:, 1]), dim=1),
    )
    views = torch.stack(rows, dim=1).to(images.device)
    grid = affine_grid(views, (round(scale * width), round(scale * height)))
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _lit(images: Tensor, deviation: float) -> Tensor:
    """Other lamps and other cameras: brightness, contrast and a cast of colour."""
    count, device = len(images), images.device
    gain = (1 + deviation * torch.randn(count, 1, 1, 1) + deviation / 2 * torch.randn(count, 3, 1, 1)).to(device)
    contrast = (1 + deviation * torch.randn(count, 1, 1, 1)).clamp(min=0.3).to(device)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return images.mul_(contrast * gain).add_(mean * (1 - contrast) * gain).clamp_(0, 1)


def _some(share: float, images: Tensor) -> Tensor:
    """Rows of about that share of the images."""
    return torch.nonzero(torch.rand(len(images)) < share)[:, 0].to(images.device)


def _evenly(count: int) -> Tensor:
    return torch.empty(count).uniform_(-1, 1)
