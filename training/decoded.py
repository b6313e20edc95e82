"""Owns pictures as a network sees them: decoded and resized once by the code that serves them, then mapped from disk."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from encoders.bundle import Preprocessing
from encoders.image import resize
from training.datasets.pictures import open_picture

Pixels = NDArray[np.uint8]


def decoded(paths: Sequence[Path], preprocessing: Preprocessing) -> Pixels:
    """Every picture as uint8 (N, H, W, 3); raises PictureError."""
    return np.stack([_decoded(path, preprocessing) for path in paths])


def cached(paths: Sequence[Path], preprocessing: Preprocessing, folder: Path) -> Pixels:
    """The same from a memory map in `folder`, which is written first where these pictures are not in it."""
    pixels, description = folder / "pixels.npy", folder / "pictures.json"
    wanted = json.dumps({"preprocessing": asdict(preprocessing), "pictures": [str(path) for path in paths]})
    if not (description.exists() and description.read_text(encoding="utf-8") == wanted):
        folder.mkdir(parents=True, exist_ok=True)
        description.unlink(missing_ok=True)
        width, height = preprocessing.size
        shape = (len(paths), height, width, 3)
        rows = np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=shape)
        for row, path in enumerate(track(paths, description=f"decoding {folder.name}")):
            rows[row] = _decoded(path, preprocessing)
        rows.flush()
        # Written last: a map with a description is a whole one.
        description.write_text(wanted, encoding="utf-8")
    # Mapped copy-on-write, because torch takes no array that it could not write to.
    mapped: Pixels = np.load(pixels, mmap_mode="c")
    return mapped


def _decoded(path: Path, preprocessing: Preprocessing) -> Pixels:
    return resize(np.asarray(open_picture(path)), preprocessing)
