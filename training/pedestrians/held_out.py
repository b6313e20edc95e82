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
    """Each picture once, as uint8 `pixels` (G, H, W, 3), and every caption (Q); the labels are identities."""

    pixels: NDArray[np.uint8]
    picture_labels: NDArray[np.int64]
    tokens: Tokens
    caption_labels: NDArray[np.int64]

    @classmethod
    def of(cls, people: Pedestrians, split: str, *, preprocessing: Preprocessing, tokenizer: Path) -> "HeldOut":
        """Read a split."""
        pictures, queries = people.of(split), people.queries(split)
        return cls(
            pixels=decoded([picture.path for picture in pictures], preprocessing),
            picture_labels=np.asarray([picture.label for picture in pictures], np.int64),
            tokens=tokenised([query.caption for query in queries], tokenizer),
            caption_labels=np.asarray([query.label for query in queries], np.int64),
        )

    def figures(self, pictures: NDArray[np.float32], captions: NDArray[np.float32]) -> dict[str, float]:
        """What `both_ways` says of embeddings of this split."""
        return both_ways(pictures, captions, self.picture_labels, self.caption_labels)


def both_ways(
    pictures: NDArray[np.float32], captions: NDArray[np.float32], picture_labels: ArrayLike, caption_labels: ArrayLike
) -> dict[str, float]:
    """Figures of unit embeddings (G, D) and (Q, D); `image_…` are those of pictures that look for captions."""
    found = evaluate(captions, pictures, same_label(caption_labels, picture_labels), ks=KS)
    described = evaluate(pictures, captions, same_label(picture_labels, caption_labels), ks=KS)
    return {**summary(found), **{f"image_{name}": share for name, share in summary(described).items()}}


def summary(figures: QueryFigures) -> dict[str, float]:
    """What the field reports: R@1, R@5, R@10 and mAP, shares of 0..1."""
    return {**{f"r{k}": figures.recall(k) for k in KS}, "map": float(figures.ap.mean())}
