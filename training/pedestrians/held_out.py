"""Owns a split that is searched: its gallery, its captions, and the figures of both ways between them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encoders.bundle import Preprocessing
from training.datasets.pedestrians import Pedestrians
from training.decoded import decoded
from training.metrics import QueryFigures, evaluate, same_label
from training.pedestrians.captions import Tokens, tokenised

KS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Each image once, as uint8 `pixels` (G, H, W, 3), and every caption (Q); the labels are identities."""

    pixels: NDArray[np.uint8]
    image_labels: NDArray[np.int64]
    tokens: Tokens
    caption_labels: NDArray[np.int64]

    @classmethod
    def of(cls, people: Pedestrians, split: str, *, preprocessing: Preprocessing, tokenizer: Path) -> "HeldOut":
        """Read a split."""
        images, queries = people.of(split), people.queries(split)
        return cls(
            pixels=decoded([image.path for image in images], preprocessing),
            image_labels=np.asarray([image.label for image in images], np.int64),
            tokens=tokenised([query.caption for query in queries], tokenizer),
            caption_labels=np.asarray([query.label for query in queries], np.int64),
        )

    def figures(self, images: NDArray[np.float32], captions: NDArray[np.float32]) -> dict[str, float]:
        """What `both_ways` says of embeddings of this split."""
        return both_ways(images, captions, self.image_labels, self.caption_labels)


def both_ways(
    images: NDArray[np.float32], captions: NDArray[np.float32], image_labels: ArrayLike, caption_labels: ArrayLike
) -> dict[str, float]:
    """Figures of unit embeddings (G, D) and (Q, D); `image_…` are those of images that look for captions."""
    found = evaluate(captions, images, same_label(caption_labels, image_labels), ks=KS)
    described = evaluate(images, captions, same_label(image_labels, caption_labels), ks=KS)
    return {**summary(found), **{f"image_{name}": share for name, share in summary(described).items()}}


def summary(figures: QueryFigures) -> dict[str, float]:
    """What the field reports: R@1, R@5, R@10 and mAP, shares of 0..1."""
    return {**{f"r{k}": figures.recall(k) for k in KS}, "map": float(figures.ap.mean())}
