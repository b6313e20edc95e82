"""Owns the cached views: crops of every training image, decoded once, with the teacher's embedding of each crop.

An epoch reads a memory map instead of decoding JPEGs, and the teacher runs once instead of once an epoch.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from world.random_crop import random_crop

TEACHER_SIZE_PX = 224


class LabelledImage(Protocol):
    """A training image that is opened when it is its turn."""

    @property
    def fine(self) -> str: ...

    @property
    def coarse(self) -> str: ...

    def open(self) -> Image.Image: ...


@dataclass(frozen=True, slots=True)
class Views:
    """The cache, opened: N images with V views each.

    `pixels` is uint8 (N, V, S, S, 3), `teacher` float16 (N, V, T); `fine` and `coarse` are class ids (N,).
    """

    pixels: NDArray[np.uint8]
    teacher: NDArray[np.float16]
    fine: NDArray[np.int64]
    coarse: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> "Views":
        """Map a folder that `write_views` has filled."""
        labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        return cls(
            pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
            teacher=np.load(folder / "teacher.npy", mmap_mode="r"),
            fine=np.unique(labels["fine"], return_inverse=True)[1],
            coarse=np.unique(labels["coarse"], return_inverse=True)[1],
        )

    def of(self, rows: slice | NDArray[np.intp]) -> "Views":
        """Those of some images, their class ids without holes; a slice leaves the pixels on the disk."""
        return Views(
            pixels=self.pixels[rows],
            teacher=self.teacher[rows],
            fine=np.unique(self.fine[rows], return_inverse=True)[1],
            coarse=np.unique(self.coarse[rows], return_inverse=True)[1],
        )


def write_views(
    images: Sequence[LabelledImage],
    folder: Path,
    *,
    teacher: Path,
    size_px: int,
    count: int,
    seed: int,
    threads: int,
) -> None:
    """Cut `count` views of each image into `folder`, and embed each with the teacher network.

    View 0 is the whole image, as the served bundle sees it; the others are random crops, half of them mirrored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    session = _teacher_session(teacher, threads)
    dimension = session.get_outputs()[0].shape[1]
    pixels = np.lib.format.open_memmap(
        folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(len(images), count, size_px, size_px, 3)
    )
    embeddings = np.zeros((len(images), count, dimension), np.float16)
    for row, image in enumerate(track(images, description="views and teacher")):
        views = list(_cut_views(image.open(), count, rng))
        for column, view in enumerate(views):
            pixels[row, column] = _squash(view, size_px)
        embeddings[row] = _embed(session, views)
    pixels.flush()
    np.save(folder / "teacher.npy", embeddings)
    # Written last: a folder with labels is a complete one.
    labels = {"fine": [image.fine for image in images], "coarse": [image.coarse for image in images]}
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")


def _cut_views(image: Image.Image, count: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    yield image
    for index in range(1, count):
        crop = image.crop(random_crop(image.size, rng))
        yield crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if index % 2 else crop


def _squash(image: Image.Image, size_px: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BILINEAR))


def _teacher_session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _embed(session: ort.InferenceSession, views: Sequence[Image.Image]) -> NDArray[np.float32]:
    """The teacher's embeddings (V, T); it takes RGB, NCHW, scaled to -1..1."""
    batch = np.stack([_squash(view, TEACHER_SIZE_PX) for view in views]).transpose(0, 3, 1, 2)
    (embeddings,) = session.run(["embedding"], {"image": (batch.astype(np.float32) - 127.5) / 127.5})
    return np.asarray(embeddings)
