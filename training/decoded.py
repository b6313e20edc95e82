"""Owns images as a network sees them: decoded and resized once by the code that serves them, then mapped from disk."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from encoders.bundle import Preprocessing
from encoders.errors import InvalidContent
from encoders.images.decoding import decode
from encoders.images.resizing import resize

Pixels = NDArray[np.uint8]


class ImageError(Exception):
    """An image that a loader found cannot be opened now; the message names the file."""


def open_image(path: Path) -> Image.Image:
    """Decode an image by the code that serves it: upright, RGB, transparency on white. Raises ImageError."""
    try:
        return Image.fromarray(decode(path.read_bytes()).pixels)
    except (InvalidContent, OSError) as error:
        raise ImageError(
            f"{path}: {error}. Replace the file, or load the dataset with decode=True and allow_incomplete=True."
        ) from error


def decoded(paths: Sequence[Path], preprocessing: Preprocessing) -> Pixels:
    """Every image as uint8 (N, H, W, 3); raises ImageError."""
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(partial(_decoded, preprocessing), paths)))


def cached(paths: Sequence[Path], preprocessing: Preprocessing, folder: Path) -> Pixels:
    """The same from a memory map in `folder`, which is written first where these images are not in it.

    Raises ImageError, also where a file that was in the map is missing.
    """
    pixels, description = folder / "pixels.npy", folder / "images.json"
    fingerprint = _fingerprint(paths, preprocessing)
    if not description.exists() or json.loads(description.read_text(encoding="utf-8")) != fingerprint:
        folder.mkdir(parents=True, exist_ok=True)
        description.unlink(missing_ok=True)
        _write(paths, preprocessing, pixels)
        # Written last: a map with a description is a whole one.
        description.write_text(json.dumps(fingerprint), encoding="utf-8")
    # Mapped copy-on-write, because torch takes no array that it could not write to.
    mapped: Pixels = np.load(pixels, mmap_mode="c")
    return mapped


def _write(paths: Sequence[Path], preprocessing: Preprocessing, pixels: Path) -> None:
    width, height = preprocessing.size
    rows = np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=(len(paths), height, width, 3))
    with ThreadPoolExecutor() as pool:
        images = pool.map(partial(_decoded, preprocessing), paths)
        try:
            for row, image in enumerate(track(images, f"decoding {pixels.parent.name}", total=len(paths))):
                rows[row] = image
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    rows.flush()


def _fingerprint(paths: Sequence[Path], preprocessing: Preprocessing) -> dict[str, str | int]:
    """What the pixels depend on: the files, as their size and time tell them apart, and the preprocessing."""
    try:
        files = [(str(path), path.stat()) for path in paths]
    except OSError as error:
        raise ImageError(
            f"{error.filename}: {error.strerror}. Bring the file back, or load the dataset anew."
        ) from error
    described = json.dumps([[(path, at.st_size, at.st_mtime_ns) for path, at in files], asdict(preprocessing)])
    return {"images": len(files), "sha256": hashlib.sha256(described.encode()).hexdigest()}


def _decoded(preprocessing: Preprocessing, path: Path) -> Pixels:
    return resize(np.asarray(open_image(path)), preprocessing)
