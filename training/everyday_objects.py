"""Owns the figures of the shipped detector on everyday photos: whether it finds what they show, and where."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from domain.detection import Detection
from encoders.bundle import Bundle
from training.average_precision import MOST_DETECTIONS, average_precision
from training.datasets.annotated import AnnotatedImage, TrueObject
from training.demo_objects import draw_demo_objects
from training.metrics import evaluate_scores
from training.objects.detector import LEAST_SCORE, SHOWN_SCORE
from training.objects.in_process import InProcessDetector
from training.serving import Served

BUNDLE, ENCODER = "detector", "general"
# Boxes around the objects of the first 48 photos, drawn by eye. What is small, cut off, dark, or may be
# called otherwise is marked as difficult.
BOXES = Path(__file__).with_name("everyday_boxes.json")
# A kind counts where so many photos show it.
FEWEST_SHOWN = 2
# COCO's names of kinds that the detector calls as VOC does.
SYNONYMS = {"airplane": "aeroplane", "motorcycle": "motorbike"}


@dataclass(frozen=True, slots=True)
class EverydayObjects:
    """Photos, the kinds that each shows, and for some of them, by name, their objects."""

    paths: tuple[Path, ...]
    kinds: tuple[frozenset[str], ...]
    objects: Mapping[str, tuple[TrueObject, ...]]

    @classmethod
    def read(cls, realdata: Path) -> Self:
        """Read `everyday/` of the openly licensed photos; FileNotFoundError where it is absent."""
        folder = realdata / "everyday"
        shown = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        kinds = (frozenset(SYNONYMS.get(kind, kind) for kind in kinds) for kinds in shown.values())
        objects = {
            name: tuple(TrueObject(each["label"], tuple(each["box"]), "is_difficult" in each) for each in drawn)
            for name, drawn in json.loads(BOXES.read_text(encoding="utf-8")).items()
        }
        return cls(tuple(folder / "images" / name for name in shown), tuple(kinds), objects)

    def offline(self, models: Path) -> dict[str, float]:
        """Detect in this process, by the code that serves."""
        bundle = Bundle.load(models / BUNDLE)
        detector = InProcessDetector(bundle)
        return self.figures(
            [detector.detect(path.read_bytes(), min_score=LEAST_SCORE) for path in self.paths], bundle.labels
        )

    def online(self, served: Served, models: Path = Path("models")) -> dict[str, float]:
        """Detect through the detector's RPC."""
        found = [
            served.detect(BUNDLE, path.read_bytes(), min_score=LEAST_SCORE, limit=MOST_DETECTIONS)
            for path in self.paths
        ]
        return self.figures(found, Bundle.load(models / BUNDLE).labels)

    def draw_sheet(self, served: Served, path: Path) -> None:
        """Draw objects of other photos, since these must not be copied."""
        draw_demo_objects(served, BUNDLE, ENCODER, path)

    def figures(self, found: Sequence[Sequence[Detection]], labels: Sequence[str]) -> dict[str, float]:
        """Photos ranked by the best score of each kind in them, mAP50 of the boxes, and the share of photos with any object.

        `kinds_p1` and `kinds_map` are means over the kinds among `labels` that two photos or more show; `map50` is of the
        photos whose objects are known.
        """
        shown = Counter(kind for kinds in self.kinds for kind in kinds)
        asked = sorted(kind for kind, count in shown.items() if count >= FEWEST_SHOWN and kind in labels)
        scores = np.array([[_best(detections, kind) for detections in found] for kind in asked], np.float32)
        relevant = np.array([[kind in kinds for kinds in self.kinds] for kind in asked])
        ranked = evaluate_scores(scores, lambda rows: relevant[rows], ks=(1,))
        is_covered = [any(item.score >= SHOWN_SCORE for item in detections) for detections in found]
        return {
            "kinds_p1": ranked.recall(1),
            "kinds_map": float(ranked.ap.mean()),
            "map50": self._map50(found, labels),
            "coverage": float(np.mean(is_covered)),
        }

    def _map50(self, found: Sequence[Sequence[Detection]], labels: Sequence[str]) -> float:
        known = [(path, each) for path, each in zip(self.paths, found, strict=True) if path.name in self.objects]
        # Boxes are in normalized coordinates, so the size does not matter.
        images = [AnnotatedImage(path, path.name, 1, 1, self.objects[path.name]) for path, _ in known]
        return average_precision([each for _, each in known], images, labels).at_half


def _best(detections: Sequence[Detection], kind: str) -> float:
    return max((item.score for item in detections if item.label == kind), default=0.0)
