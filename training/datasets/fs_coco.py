"""Owns FS-COCO: `images/`, `raster_sketches/` and `text/`, each `<author>/<id>`, and lists of such names."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from training.datasets.report import Checks, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, open_dataset
from training.datasets.sketch_pairs import SketchPair, SketchPairs, counts_of


def load_fs_coco(root: Path, *, split_list: str | None = None, **checks: Unpack[Checks]) -> SketchPairs:
    """Read the scenes of a list, a file below `root`, or all of them; the caption is the first line of its text.

    A line of a list is `<author>/<id>` or `<id>` alone.
    """
    base, faults = open_dataset(root, checks)
    sketches, photos, texts = (base.child(name) for name in ("raster_sketches", "images", "text"))
    drawn = {name.rsplit(".", 1)[0]: name for name in sketches.images("*/*")}
    photographed = {name.rsplit(".", 1)[0]: name for name in photos.images("*/*")}

    def pair(name: str) -> SketchPair:
        return SketchPair(
            sketch=sketches.image(drawn.get(name, f"{name}.jpg")),
            photo=photos.image(photographed.get(name, f"{name}.jpg")),
            name=name,
            captions=(_caption(texts, name),),
        )

    pairs = faults.collect(_listed(base, split_list, list(drawn), faults), pair)
    if split_list is None:
        for name in sorted(photographed.keys() - drawn.keys()):
            faults.note(FaultKind.UNPAIRED, f"images/{photographed[name]}", "", "nobody drew this photo")
    gallery = tuple(pair.photo for pair in pairs.values())
    counts = counts_of(pairs.values(), gallery)
    report = faults.finish(base.folder, counts)
    return SketchPairs(tuple(pairs.values()), gallery, report)


def _listed(
    base: DatasetRoot, split_list: str | None, drawn: Sequence[str], faults: Faults
) -> list[tuple[str, str, str]]:
    """Where each scene is named, file and record, and its name."""
    if split_list is None:
        return [("raster_sketches", name, name) for name in drawn]
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    for name in drawn:
        by_id[name.rsplit("/", 1)[-1]].append(name)
    listed = []
    for record, line in base.lines(split_list, faults):
        name = line.removesuffix(".jpg")
        with faults.at(split_list, record):
            listed.append((split_list, record, name if "/" in name else _only(by_id[name], name)))
    return listed


def _only(names: Sequence[str], scene_id: str) -> str:
    if len(names) != 1:
        kind = FaultKind.DUPLICATE if names else FaultKind.MISSING_FILE
        raise RecordError(kind, f"{len(names)} authors have a sketch {scene_id}")
    return names[0]


def _caption(texts: DatasetRoot, name: str) -> str:
    lines = texts.text(f"{name}.txt").strip().splitlines()
    if not lines:
        raise RecordError(FaultKind.BAD_RECORD, f"text/{name}.txt has no first line")
    return lines[0].strip()
