"""Owns the detector's training pictures: drawn scenes, and drawn objects on photos, cached as pixels and boxes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from training.photos import clothing_photos, grocery_photos
from training.world.composition import compose_scene
from training.world.kinds import LABELS
from training.world.scene import Scene, draw_scene

# Drawn larger than the network sees them, as a served picture would be.
DRAWN_SIZE = (480, 360)


@dataclass(frozen=True, slots=True)
class Scenes:
    """Pictures with their truth: `pixels` uint8 (N, S, S, 3), and for each an array (M, 5) of class id and box."""

    pixels: NDArray[np.uint8]
    truths: tuple[NDArray[np.float32], ...]

    @classmethod
    def open(cls, folder: Path) -> "Scenes":
        """Map a folder that `write_scenes` has filled."""
        truths = np.load(folder / "truths.npz")
        rows = tuple(np.split(truths["rows"], np.cumsum(truths["counts"])[:-1]))
        return cls(pixels=np.load(folder / "pixels.npy", mmap_mode="r"), truths=rows)


def truth_of(scene: Scene) -> NDArray[np.float32]:
    """The scene's objects as (M, 5): class id, x_min, y_min, x_max, y_max in shares."""
    rows = [(LABELS.index(item.label), *item.box) for item in scene.objects]
    return np.asarray(rows, np.float32).reshape(-1, 5)


def squashed_scene(scene: Scene, size_px: int) -> NDArray[np.uint8]:
    """The picture as the served detector sees it, uint8 (S, S, 3)."""
    return np.asarray(scene.picture.resize((size_px, size_px), Image.Resampling.BILINEAR))


def drawn_scene(seed: int, number: int) -> Scene:
    """Scene `number` of the endless album `seed`."""
    return draw_scene(np.random.default_rng([seed, number]), DRAWN_SIZE)


def write_scenes(folder: Path, realdata: Path, *, drawn: int, composed: int, size_px: int, seed: int) -> None:
    """Draw `drawn` scenes and compose `composed` ones on training photos, and cache them in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = [*grocery_photos(realdata / "grocery", "train"), *clothing_photos(realdata / "clothing")]
    shape = (drawn + composed, size_px, size_px, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    truths = []
    for number in track(range(drawn + composed), description="scenes"):
        if number < drawn:
            scene = drawn_scene(seed, number)
        else:
            rng = np.random.default_rng([seed, number])
            scene = compose_scene(photos[rng.integers(len(photos))].open(), rng, DRAWN_SIZE)
        pixels[number] = squashed_scene(scene, size_px)
        truths.append(truth_of(scene))
    pixels.flush()
    np.savez(folder / "truths.npz", rows=np.concatenate(truths), counts=[len(truth) for truth in truths])
