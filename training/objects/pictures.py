"""Owns the cache of a split: its pictures as the network sees them, and their objects in the same frame."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from encoders.bundle import Preprocessing
from encoders.fit import fit
from encoders.image import resize
from training.datasets.annotated import AnnotatedPictures
from training.datasets.pictures import open_picture

Truth = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CachedPictures:
    """`pixels` uint8 (N, S, S, 3), mapped from the disk, and for each (M, 5): class id and box in shares of the input.

    What a detector need not find is not among them.
    """

    pixels: NDArray[np.uint8]
    truths: tuple[Truth, ...]


def cache_pictures(pictures: AnnotatedPictures, folder: Path, preprocessing: Preprocessing) -> CachedPictures:
    """Decode every picture once, and open the cache; one of the same pictures that is there already is kept."""
    pixels, description = folder / "pixels.npy", folder / "source.json"
    source = _fingerprint(pictures, preprocessing)
    if not description.exists() or json.loads(description.read_text(encoding="utf-8")) != source:
        folder.mkdir(parents=True, exist_ok=True)
        description.unlink(missing_ok=True)
        width_px, height_px = preprocessing.size
        shape = (len(pictures.pictures), height_px, width_px, 3)
        rows = np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=shape)
        for number, picture in enumerate(track(pictures.pictures, description=f"pictures of {folder.name}")):
            rows[number] = resize(np.asarray(open_picture(picture.path)), preprocessing)
        rows.flush()
        # Written last: a folder with a description is a complete one.
        description.write_text(json.dumps(source), encoding="utf-8")
    return CachedPictures(np.load(pixels, mmap_mode="r"), truths_in_input(pictures, preprocessing))


def truths_in_input(pictures: AnnotatedPictures, preprocessing: Preprocessing) -> tuple[Truth, ...]:
    """Each picture's objects where they come to lie in the network's input."""
    input_px = np.asarray(preprocessing.size * 2, np.float32)
    placed = [fit((picture.width_px, picture.height_px), preprocessing) for picture in pictures.pictures]
    truths = []
    for truth, at in zip(pictures.truths(), placed, strict=True):
        corner = np.asarray((at.left_px, at.top_px) * 2, np.float32)
        boxes = (truth[:, 1:] * np.asarray(at.resized_px * 2, np.float32) - corner) / input_px
        truths.append(np.concatenate([truth[:, :1], boxes], axis=1))
    return tuple(truths)


def _fingerprint(pictures: AnnotatedPictures, preprocessing: Preprocessing) -> dict[str, str | int]:
    """What the pixels depend on: the files, as their size and time tell them apart, and the preprocessing."""
    files = [(str(picture.path), picture.path.stat()) for picture in pictures.pictures]
    told = json.dumps([[(path, at.st_size, at.st_mtime_ns) for path, at in files], asdict(preprocessing)])
    return {"pictures": len(files), "sha256": hashlib.sha256(told.encode()).hexdigest()}
