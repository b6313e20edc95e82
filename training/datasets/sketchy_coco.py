"""Owns the scenes of SketchyCOCO: `Scene/GT/<split>` and `Scene/Sketch/paper_version/<split>`, paired by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

from training.datasets.report import Checks, FaultKind
from training.datasets.root import open_dataset
from training.datasets.sketch_pairs import SketchPair, SketchPairs, counts_of

SPLITS = ("trainInTrain", "valInTrain", "val")
# By the splits that are loaded together.
PUBLISHED_COUNTS: Mapping[tuple[str, ...], Mapping[str, int]] = {
    ("trainInTrain", "valInTrain"): {"pairs": 11_265},
    ("val",): {"pairs": 2_816},
}


def load_sketchy_coco(root: Path, *splits: str, **checks: Unpack[Checks]) -> SketchPairs:
    """Read the pairs of some splits, of all where none is named; a photo or a sketch alone is a fault."""
    base, faults = open_dataset(root, checks)
    photos, sketches = base.child("Scene/GT"), base.child("Scene/Sketch/paper_version")
    pairs: list[SketchPair] = []
    for split in splits or SPLITS:
        photographed = {Path(name).stem: name for name in photos.images(f"{split}/*")}
        drawn = {Path(name).stem: name for name in sketches.images(f"{split}/*")}
        for stem in sorted(photographed.keys() | drawn.keys()):
            name = f"{split}/{stem}"
            if stem not in photographed:
                faults.note(
                    FaultKind.UNPAIRED, f"Scene/Sketch/paper_version/{drawn[stem]}", "", "no photo of this name"
                )
            elif stem not in drawn:
                faults.note(FaultKind.UNPAIRED, f"Scene/GT/{photographed[stem]}", "", "no sketch of this name")
            else:
                with faults.at(name):
                    pairs.append(SketchPair(sketches.image(drawn[stem]), photos.image(photographed[stem]), name))
                    faults.note_name(name, name)
    gallery = tuple(pair.photo for pair in pairs)
    report = faults.finish(base.folder, counts_of(pairs, gallery))
    return SketchPairs(tuple(pairs), gallery, report)
