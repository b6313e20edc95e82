"""Owns the network's pictures: decoded and squashed as they are served, and kept for all epochs in one file."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from encoders.bundle import Preprocessing
from encoders.image import resize
from training.datasets.pedestrians import Pedestrian
from training.datasets.pictures import open_picture


def squashed(people: Sequence[Pedestrian], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Every picture as the network sees it, uint8 (N, H, W, 3); raises PictureError."""
    return np.stack([_squashed(person, size_px) for person in people])


def cached(people: Sequence[Pedestrian], size_px: tuple[int, int], folder: Path) -> NDArray[np.uint8]:
    """The same, read from a memory map in `folder`, which is written first where these pictures are not in it."""
    pixels, described = folder / "pixels.npy", folder / "pictures.json"
    wanted = json.dumps({"size_px": size_px, "pictures": [str(person.path) for person in people]})
    if not (described.exists() and described.read_text(encoding="utf-8") == wanted):
        described.unlink(missing_ok=True)
        _write(people, size_px, pixels)
        # Written last: a file with a description is a whole one.
        described.write_text(wanted, encoding="utf-8")
    mapped: NDArray[np.uint8] = np.load(pixels, mmap_mode="r")
    return mapped


def _write(people: Sequence[Pedestrian], size_px: tuple[int, int], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_px
    shape = (len(people), height, width, 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for row, person in enumerate(track(people, description="decoding the training pictures")):
        pixels[row] = _squashed(person, size_px)
    pixels.flush()


def _squashed(person: Pedestrian, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    return resize(np.asarray(open_picture(person.path)), Preprocessing(size=size_px))
