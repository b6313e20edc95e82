"""Owns the Sketchy database: `photo/` and `sketch/` by category; a sketch's name begins with its photo's and a dash."""

from collections.abc import Collection
from pathlib import Path
from typing import Unpack

from training.datasets.report import Checks, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, open_dataset
from training.datasets.sketch_pairs import SketchPair, SketchPairs, counts_of

PHOTOS = "256x256/photo/tx_000000000000"
SKETCHES = "256x256/sketch/tx_000100000000"


def load_sketchy(
    root: Path,
    *,
    categories: Collection[str] | None = None,
    photos: str = PHOTOS,
    sketches: str = SKETCHES,
    **checks: Unpack[Checks],
) -> SketchPairs:
    """Read some categories, or all; the gallery has their photos without a sketch too.

    `photos` and `sketches` choose other renderings (`tx_...`).
    """
    base, faults = open_dataset(root, checks)
    gallery = _photos(base, photos, categories, faults)
    pairs: list[SketchPair] = []
    folder = base.child(sketches)
    for name in _chosen(folder, categories):
        with faults.at(f"{sketches}/{name}"):
            drawn_from, dash, _ = name.rsplit(".", 1)[0].rpartition("-")
            if not dash or drawn_from not in gallery:
                raise RecordError(FaultKind.UNPAIRED, "the name before the dash is that of no photo")
            category = name.split("/", 1)[0]
            pairs.append(SketchPair(folder.image(name), gallery[drawn_from], drawn_from, category=category))
            faults.note_name(name, f"{sketches}/{name}")
    _note_empty(categories, pairs, sketches, faults)
    rows = tuple(gallery.values())
    report = faults.finish(base.folder, counts_of(pairs, rows))
    return SketchPairs(tuple(pairs), rows, report)


def _photos(base: DatasetRoot, photos: str, categories: Collection[str] | None, faults: Faults) -> dict[str, Path]:
    """The photos by `<category>/<name>`."""
    found: dict[str, Path] = {}
    folder = base.child(photos)
    for name in _chosen(folder, categories):
        with faults.at(f"{photos}/{name}"):
            key = name.rsplit(".", 1)[0]
            if key in found:
                raise RecordError(FaultKind.DUPLICATE, "another photo has this name with another ending")
            found[key] = folder.image(name)
            faults.note_name(name, f"{photos}/{name}")
    return found


def _chosen(folder: DatasetRoot, categories: Collection[str] | None) -> list[str]:
    return [name for name in folder.images("*/*") if categories is None or name.split("/", 1)[0] in categories]


def _note_empty(
    categories: Collection[str] | None, pairs: Collection[SketchPair], sketches: str, faults: Faults
) -> None:
    drawn = {pair.category for pair in pairs}
    for category in sorted(set(categories or ()) - drawn):
        faults.note(FaultKind.MISSING_FILE, f"{sketches}/{category}", "", "no usable sketch of this category")
