"""Owns the photos that the joint space is fitted to and measured on, domain by domain, with what is asked for in words."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.joint_space.labels import PROMPT, OwnClass
from training.metrics import QueryFigures, evaluate, own_id, shared_label
from training.photos import Photo, clothing_photos, grocery_photos

Rows = NDArray[np.float32]
# A kind is asked for in words where at least so many photos show it.
FEWEST_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Domain:
    """Photos, the labels of each, and sentences by the name of their figure: each sentence with the labels it means."""

    name: str
    paths: Sequence[Path]
    labels: Sequence[frozenset[str]]
    sentences: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def likeness(self, images: Rows) -> dict[str, float]:
        """P@1 and mAP of photos (N, D) that look for others which share a label."""
        known = self._flags(self.labels)
        rows = np.arange(len(images))
        found = evaluate(images, images, shared_label(known, known), own_id(rows, rows), ks=(1,))
        return _figures(f"{self.name}_likeness", found)

    def _flags(self, labels: Sequence[frozenset[str]]) -> NDArray[np.bool_]:
        """(N, L): which labels each has."""
        known = sorted({label for each in self.labels for label in each})
        return np.array([[label in each for label in known] for each in labels])


def training_photos(realdata: Path) -> list[Photo]:
    """The photos that the space is fitted to: the groceries' training split, and two thirds of the clothes."""
    clothes = [photo for photo in clothing_photos(realdata / "clothing") if not is_held_out(photo.path)]
    return [*grocery_photos(realdata / "grocery", "train"), *clothes]


def held_out_domains(realdata: Path, own: Sequence[OwnClass]) -> list[Domain]:
    """The groceries' validation split, a third of the clothes, and everyday photos where they are at hand."""
    groceries = grocery_photos(realdata / "grocery", "val")
    clothes = [photo for photo in clothing_photos(realdata / "clothing") if is_held_out(photo.path)]
    domains = [
        _of_products("grocery", groceries, [each for each in own if each.photos.startswith("grocery/")]),
        _of_products("clothing", clothes, [each for each in own if each.photos.startswith("clothing/")]),
    ]
    labels = realdata / "everyday" / "labels.json"
    return [*domains, _everyday(labels)] if labels.exists() else domains


def is_held_out(path: Path) -> bool:
    """Whether a photo of clothes is in the third that is never learnt from, by a hash of its name."""
    return hashlib.sha256(path.name.encode()).digest()[0] % 3 == 0


def _of_products(name: str, photos: Sequence[Photo], own: Sequence[OwnClass]) -> Domain:
    shown = {photo.fine for photo in photos}
    families: dict[str, set[str]] = {}
    for each in own:
        families.setdefault(each.names[-1], set()).add(each.photos)
    names = {PROMPT.format(family): frozenset(classes) for family, classes in families.items() if classes & shown}
    descriptions = {each.description: frozenset({each.photos}) for each in own if each.photos in shown}
    return Domain(
        name,
        [photo.path for photo in photos],
        [frozenset({photo.fine}) for photo in photos],
        {"names": names, "descriptions": descriptions} if name == "grocery" else {"names": names},
    )


def _everyday(path: Path) -> Domain:
    described: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    counts = Counter(kind for kinds in described.values() for kind in kinds)
    kinds = sorted(kind for kind, count in counts.items() if count >= FEWEST_SHOWN)
    photos = sorted(described)
    return Domain(
        "everyday",
        [path.parent / "images" / photo for photo in photos],
        [frozenset(described[photo]) for photo in photos],
        {"names": {PROMPT.format(kind): frozenset({kind}) for kind in kinds}},
    )


def _figures(name: str, found: QueryFigures) -> dict[str, float]:
    return {f"{name}_p1": found.recall(1), f"{name}_map": float(found.ap.mean())}
