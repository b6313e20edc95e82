"""How well photos that were never trained on find one another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from training.metrics import QueryFigures, evaluate, own_id, same_label
from training.photos import Photo

KS = (1, 5)


def leave_one_out(embeddings: NDArray[np.float32], labels: ArrayLike) -> QueryFigures:
    """The figures of images that each look for all the others of their class; P@1 is `recall(1)`."""
    rows = np.arange(len(embeddings))
    return evaluate(embeddings, embeddings, same_label(labels, labels), own_id(rows, rows), ks=KS)


def summary(found: QueryFigures) -> dict[str, float]:
    """P@1, R@5 and mAP, shares of 0..1."""
    return {"p1": found.recall(1), "r5": found.recall(5), "map": float(found.ap.mean())}


def grocery_figures(found: QueryFigures) -> dict[str, float]:
    """The same of the grocery validation photos, by the names under which they are reported."""
    return {f"grocery_val_{name}": share for name, share in summary(found).items()}


def squashed(photos: Sequence[Photo], size_px: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Photos as the served bundle sees them, uint8 (N, S, S, 3), with their exact classes."""
    size = (size_px, size_px)
    pixels = np.stack([np.asarray(photo.open().resize(size, Image.Resampling.BILINEAR)) for photo in photos])
    return pixels, [photo.fine for photo in photos]
