"""Owns the figures of the query modes: by sentence, by sketch, by both, alone or with a placeholder for the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import QueryFigures, evaluate, same_label

Embedded = NDArray[np.float32]

SOLO = ("text", "sketch", "both")


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Unit vectors (N, D) of photos, of a sketch and of one caption of each, and (D,) of no strokes and of no words."""

    photos: Embedded
    sketches: Embedded
    texts: Embedded
    no_sketch: Embedded
    no_text: Embedded

    def queries(self) -> dict[str, Embedded]:
        """The queries of each mode, (N, D): as in training, half a query may be fused with a placeholder."""
        return {
            "text": self.texts,
            "sketch": self.sketches,
            "both": fused(self.texts, self.sketches),
            "text_placeholder": fused(self.texts, self.no_sketch),
            "sketch_placeholder": fused(self.sketches, self.no_text),
        }


def fused(first: Embedded, second: Embedded) -> Embedded:
    """The direction between both, of unit length: what a search makes of two parts."""
    total = first + second
    unit: Embedded = total / np.linalg.norm(total, axis=-1, keepdims=True)
    return unit


def figures_of(embeddings: Embeddings) -> dict[str, float]:
    """The figures of every mode; query n looks for photo n."""
    own = np.arange(len(embeddings.photos))
    figures: dict[str, float] = {}
    for mode, queries in embeddings.queries().items():
        figures |= summary(mode, evaluate(queries, embeddings.photos, same_label(own, own)))
    return figures


def summary(mode: str, figures: QueryFigures) -> dict[str, float]:
    """What the field reports of a mode, shares of 0..1: `{"both_r1": …, "both_mrr": …}`."""
    told = figures.summary()
    return {f"{mode}_{name}": told[name] for name in ("r1", "r5", "r10", "mrr")}
