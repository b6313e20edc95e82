"""Owns the held-out splits as they are searched: photos, the objects that are asked for, and the figures of answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from domain.detection import Detection
from training.average_precision import average_precision
from training.datasets.annotated import AnnotatedImage, TrueObject
from training.metrics import Flags, evaluate_scores, shared_label
from training.objects.config import DataConfig
from training.objects.detector import SHOWN_SCORE
from training.objects.images import load_split

KS = (1, 5, 10)
COLOUR = "colour"

Describe = Callable[[TrueObject], str]


@dataclass(frozen=True, slots=True)
class ObjectQuery:
    """One object of an image, given by its true box: photos with such objects are wanted."""

    image: AnnotatedImage
    object: TrueObject

    def is_shown_in(self, photo: AnnotatedImage) -> bool:
        """Whether the photo has an object of the same class."""
        return any(item.label == self.object.label for item in photo.objects)

    def described(self) -> str:
        """The object in words."""
        return f"{self.object.attributes.get(COLOUR, '')} {self.object.label}".strip()


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Photos that are searched, and an object of every other photo; training saw neither."""

    labels: tuple[str, ...]
    gallery: tuple[AnnotatedImage, ...]
    images: tuple[AnnotatedImage, ...]
    queries: tuple[ObjectQuery, ...]

    @classmethod
    def of(cls, config: DataConfig, folder: Path, *, allow_incomplete: bool = False) -> Self:
        """Read both splits; image n asks for its object n, counted round and round, so that every kind is asked for."""
        gallery, asking = (
            load_split(config, folder, split, allow_incomplete=allow_incomplete)
            for split in (config.gallery, config.queries)
        )
        queries = []
        for number, image in enumerate(asking.images):
            objects = [item for item in image.objects if not item.is_difficult]
            if objects:
                queries.append(ObjectQuery(image, objects[number % len(objects)]))
        return cls(config.labels, gallery.images, asking.images, tuple(queries))

    def detector_figures(self, found: Sequence[Sequence[Detection]]) -> dict[str, float]:
        """How much of what stands in the asking images was found; `coverage` counts those with any object shown."""
        precision = average_precision(found, self.images, self.labels)
        is_covered = [any(item.score >= SHOWN_SCORE for item in detections) for detections in found]
        return {
            "detector_map50": precision.at_half,
            "detector_map": precision.mean,
            "coverage": float(np.mean(is_covered)),
        }

    def retrieval_figures(self, scores: NDArray[np.float32]) -> dict[str, float]:
        """Recall of photos by queries, from scores (Q, G).

        Right is a photo with an object of the same class; for `colour_…`, where colours are known, also in its colour.
        Queries that no photo answers do not count; where there is no other query, there are no figures.
        """
        figures = self._recall(scores, "retrieval", lambda item: item.label)
        if all(COLOUR in query.object.attributes for query in self.queries):
            figures |= self._recall(scores, "colour", lambda item: f"{item.attributes.get(COLOUR)} {item.label}")
        return figures

    def _recall(self, scores: NDArray[np.float32], name: str, describe: Describe) -> dict[str, float]:
        asked = [{describe(query.object)} for query in self.queries]
        shown = [{describe(item) for item in image.objects} for image in self.gallery]
        known = sorted(set().union(*asked, *shown))
        figures = evaluate_scores(scores, shared_label(_flags(asked, known), _flags(shown, known)), ks=KS)
        return {f"{name}_r{k}": figures.recall(k) for k in KS} if len(figures.rows) else {}


def _flags(rows: Sequence[set[str]], known: Sequence[str]) -> Flags:
    return np.array([[name in row for name in known] for row in rows], bool)
