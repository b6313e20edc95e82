"""Owns the figures of the query modes: by sentence, by sketch, by both, alone or with a placeholder for the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import QueryFigures, evaluate, same_label

Embedded = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Unit embeddings (N, D) of photos and of a sketch of each, (M, D) of captions, and (D,) of no strokes and of no words.

    `photo_of_text` (M,) are the rows of the captions' photos.
    """

    photos: Embedded
    sketches: Embedded
    texts: Embedded
    photo_of_text: NDArray[np.intp]
    no_sketch: Embedded
    no_text: Embedded

    def queries(self) -> dict[str, Embedded]:
        """The queries of each mode, (N, D) of sketches and (M, D) of captions: as in training, half a query may be fused with a placeholder."""
        return {
            "text": self.texts,
            "sketch": self.sketches,
            "both": fused(self.texts, self.sketches[self.photo_of_text]),
            "text_placeholder": fused(self.texts, self.no_sketch),
            "sketch_placeholder": fused(self.sketches, self.no_text),
        }


def fused(first: Embedded, second: Embedded) -> Embedded:
    """The direction between both, of unit length: what a search makes of two parts."""
    total = first + second
    unit: Embedded = total / np.linalg.norm(total, axis=-1, keepdims=True)
    return unit


def figures_of(embeddings: Embeddings) -> dict[str, float]:
    """The figures of every mode; a query looks for the photo that it was written or drawn for."""
    own = np.arange(len(embeddings.photos))
    figures: dict[str, float] = {}
    for mode, queries in embeddings.queries().items():
        target = own if mode.startswith("sketch") else embeddings.photo_of_text
        figures |= summary(mode, evaluate(queries, embeddings.photos, same_label(target, own)))
    return figures


def summary(mode: str, figures: QueryFigures) -> dict[str, float]:
    """What the field reports of a mode, shares of 0..1: `{"both_r1": …, "both_mrr": …}`."""
    summarised = figures.summary()
    return {f"{mode}_{name}": summarised[name] for name in ("r1", "r5", "r10", "mrr")}
