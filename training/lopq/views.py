"""Owns the embeddings that LOPQ is tried on: of many views of photos and drawn scenes, computed once and kept.

Vectors drawn at random have no clusters and no directions that matter, so figures on them say nothing; these come from
images, through a bundle as it is served.
"""

import json
import math
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from encoders.bundle import Bundle, Preprocessing
from encoders.errors import ModelError
from encoders.images.resizing import resize
from encoders.serving.providers import SessionOptions
from encoders.serving.session import EmbeddingSession
from training.photos import Photo, clothing_photos, grocery_photos
from world.random_crop import random_crop
from world.scene import draw_scene

Floats = NDArray[np.float32]

SEED = 0
# As large as the photos are.
SCENE_SIZE = (320, 240)
VIEWS_A_SCENE = 15
PHOTO_SHARE = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class ViewEmbeddings:
    """`base` (N, D) is searched for `queries` (Q, D), other views: half of the base's images, half of none of them.

    Both are unit length and memory maps of files in `folder`: what is not read takes no memory. `sha256` is that of the
    model, `photos` the share of views that show photos.
    """

    folder: Path
    base: Floats
    queries: Floats
    sha256: str
    photos: float

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map what `embed_views` kept."""
        base, queries = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("base", "queries"))
        return cls(folder, base, queries, **json.loads((folder / "views.json").read_text()))


class Viewable(Protocol):
    """What views are cut from; opened when it is its turn."""

    def open(self) -> Image.Image: ...


@dataclass(frozen=True, slots=True)
class DrawnScene:
    """A scene of the drawn world by its number."""

    number: int

    def open(self) -> Image.Image:
        """Draw it."""
        return draw_scene(np.random.default_rng([SEED, self.number]), SCENE_SIZE).image


@dataclass(frozen=True, slots=True)
class Cut:
    """An image and how many views are cut from it."""

    image: Viewable
    views: int


def embed_views(
    bundle: Bundle,
    realdata: Path,
    cache: Path,
    *,
    count: int = 100_000,
    queries: int = 1_000,
    threads: int = 0,
    part: int = 0,
) -> ViewEmbeddings:
    """Embed `count` views and `queries` more, or map what an earlier call with the same bundle and counts kept.

    Seven in ten are of photos where `realdata` has them; all are of drawn scenes elsewhere. 100,000 views by the
    shipped `general-2` take about six minutes of one core, spread over all of them; `cache` gets 4 bytes a number.
    Another `part` has other views of the same photos, so that many views are embedded a part at a time.
    """
    photos, unseen_photos = _photos(realdata)
    share = PHOTO_SHARE if photos else 0.0
    sha256 = bundle.precisions["fp32"].sha256
    folder = (
        cache
        / f"{bundle.name}-{sha256[:12]}-{'photos' if photos else 'drawn'}-{count}-{queries}{f'-{part}' if part else ''}"
    )
    if not folder.exists():
        scenes = [DrawnScene(number) for number in range(math.ceil((count - round(count * share)) / VIEWS_A_SCENE))]
        unseen_scenes = [DrawnScene(len(scenes) + number) for number in range(queries)]
        asked_again = queries // 2
        base = _cuts(photos, scenes, count, share)
        asked = _cuts(photos, scenes, asked_again, share)
        asked += _cuts(unseen_photos, unseen_scenes, queries - asked_again, share)
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        np.save(unfinished / "base.npy", _embed(bundle, base, threads, stream=2 * part))
        np.save(unfinished / "queries.npy", _embed(bundle, asked, threads, stream=2 * part + 1))
        (unfinished / "views.json").write_text(json.dumps({"sha256": sha256, "photos": share}))
        # Renamed last: a folder of that name is a complete one.
        unfinished.rename(folder)
    return ViewEmbeddings.open(folder)


def _photos(realdata: Path) -> tuple[list[Photo], list[Photo]]:
    """The photos of the base, and those that are only asked for."""
    if not realdata.exists():
        return [], []
    grocery = realdata / "grocery"
    return [*grocery_photos(grocery, "train"), *clothing_photos(realdata / "clothing")], grocery_photos(grocery, "val")


def _cuts(photos: Sequence[Viewable], scenes: Sequence[Viewable], count: int, photo_share: float) -> list[Cut]:
    of_photos = round(count * photo_share)
    return [*_spread(of_photos, photos), *_spread(count - of_photos, scenes)]


def _spread(count: int, images: Sequence[Viewable]) -> list[Cut]:
    """Share `count` views out evenly; where there are fewer than images, images from everywhere get one."""
    owners = np.arange(count) * len(images) // max(count, 1)
    views = np.bincount(owners, minlength=len(images)).tolist()
    return [Cut(image, number) for image, number in zip(images, views, strict=True) if number]


def _embed(bundle: Bundle, cuts: Sequence[Cut], threads: int, *, stream: int) -> Floats:
    """The embeddings of all views, in order; the threads take image by image, which changes no view."""
    session = EmbeddingSession(bundle, SessionOptions(threads=1, precision="fp32"))

    def embed(position: int) -> Floats:
        rng = np.random.default_rng([SEED, stream, position])
        cut = cuts[position]
        image = cut.image.open()
        views = [_view(image, rng, bundle.image_preprocessing) for _ in range(cut.views)]
        embeddings = []
        for answer in session.run(views).results:
            if isinstance(answer, ModelError):
                raise answer
            embeddings.append(answer)
        return np.stack(embeddings)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        found = pool.map(embed, range(len(cuts)))
        return np.concatenate(list(track(found, description="views", total=len(cuts))))


def _view(image: Image.Image, rng: np.random.Generator, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A random crop, half of them mirrored, as the model takes it."""
    pixels = np.asarray(image.crop(random_crop(image.size, rng)))
    return resize(pixels[:, ::-1] if rng.integers(2) else pixels, preprocessing)
