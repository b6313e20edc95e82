"""Owns CUHK-PEDES: `imgs/` and `reid_raw.json`, or `caption_all.json`, which may say nothing of splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from training.datasets.report import Checks, DatasetReport, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, integer_of, is_text, list_of, open_dataset, require_mapping, text_of

SPLITS = ("train", "val", "test")
LISTS = ("reid_raw.json", "caption_all.json")
# By 1-based identity, as published; for lists that name no split.
PUBLISHED_IDS: Mapping[str, range] = {
    "train": range(1, 11_004),
    "val": range(11_004, 12_004),
    "test": range(12_004, 13_004),
}
PUBLISHED_COUNTS: Mapping[str, int] = {
    "train images": 34_054,
    "train captions": 68_126,
    "train identities": 11_003,
    "val images": 3_078,
    "val captions": 6_158,
    "val identities": 1_000,
    "test images": 3_074,
    "test captions": 6_156,
    "test identities": 1_000,
}


@dataclass(frozen=True, slots=True)
class Pedestrian:
    """One image of a person: `name` is its path below `imgs`, `label` the identity from 0, as classifiers count.

    `split` is `train`, `val` or `test`, or empty where the list names none.
    """

    path: Path
    name: str
    label: int
    captions: tuple[str, ...]
    split: str


@dataclass(frozen=True, slots=True)
class CaptionQuery:
    """One caption; `image` is the row in the gallery of the image that it was written for."""

    caption: str
    label: int
    image: int


@dataclass(frozen=True, slots=True)
class Pedestrians:
    """The images in the list's order, each once."""

    images: tuple[Pedestrian, ...]
    report: DatasetReport

    def of(self, split: str) -> tuple[Pedestrian, ...]:
        """The images of a split, which are its gallery; raises ValueError where the list names no splits."""
        if split not in SPLITS:
            raise ValueError(f"{split!r} is not a split; choose train, val or test.")
        if self.images and not any(image.split for image in self.images):
            raise ValueError(
                "This list names no splits; load it with id_splits=PUBLISHED_IDS or your own ranges of ids."
            )
        return tuple(image for image in self.images if image.split == split)

    def queries(self, split: str) -> tuple[CaptionQuery, ...]:
        """Every caption of a split, in the gallery's order."""
        return tuple(
            CaptionQuery(caption, image.label, row)
            for row, image in enumerate(self.of(split))
            for caption in image.captions
        )


def load_pedestrians(
    root: Path, *, list_name: str | None = None, id_splits: Mapping[str, range] | None = None, **checks: Unpack[Checks]
) -> Pedestrians:
    """Read the list (the first of LISTS that is there) and look for every image.

    `id_splits` tells the splits of a list without them.
    """
    base, faults = open_dataset(root, checks)
    file = list_name or next((name for name in LISTS if (root / name).exists()), LISTS[0])
    rows: list[Any] = []
    with faults.at(file):
        rows = list_of({"the list": base.json(file)}, "the list")
    images = _in_one_split(_pedestrians(rows, base.child("imgs"), file, faults), file, faults)
    if id_splits and not any(image.split for image in images):
        images = [replace(image, split=_split_of(image.label + 1, id_splits)) for image in images]
    report = faults.finish(base.folder, _counts(images))
    return Pedestrians(tuple(images), report)


def _pedestrians(rows: Sequence[Any], root: DatasetRoot, file: str, faults: Faults) -> list[Pedestrian]:
    has_splits = any(isinstance(row, dict) and "split" in row for row in rows)
    images: dict[Path, Pedestrian] = {}
    for number, row in enumerate(rows):
        record = f"record {number}"
        with faults.at(file, record):
            image = _pedestrian(require_mapping(row), root, has_splits=has_splits)
            if image.path in images:
                raise RecordError(FaultKind.DUPLICATE, f"{image.name} was listed before")
            faults.note_name(image.name, file, record)
            images[image.path] = image
    return list(images.values())


def _pedestrian(row: Mapping[str, Any], root: DatasetRoot, *, has_splits: bool) -> Pedestrian:
    name = text_of(row, "file_path")
    split = text_of(row, "split") if has_splits else ""
    if has_splits and split not in SPLITS:
        raise RecordError(FaultKind.BAD_RECORD, f"`split` is {split!r}, not train, val or test")
    captions = list_of(row, "captions")
    if not captions or not all(is_text(caption) for caption in captions):
        raise RecordError(FaultKind.BAD_RECORD, f"`captions` of {name} are not one text or more")
    return Pedestrian(root.image(name), name, integer_of(row, "id", at_least=1) - 1, tuple(captions), split)


def _in_one_split(images: Sequence[Pedestrian], file: str, faults: Faults) -> list[Pedestrian]:
    """Leave out people who are in a second split: figures on people seen in training would mean nothing."""
    split_of: dict[int, str] = {}
    kept = []
    for image in images:
        if split_of.setdefault(image.label, image.split) == image.split:
            kept.append(image)
        else:
            detail = f"id {image.label + 1} is in {split_of[image.label]} and again in {image.split}"
            faults.note(FaultKind.DUPLICATE, file, image.name, detail)
    return kept


def _split_of(identity: int, id_splits: Mapping[str, range]) -> str:
    return next((split for split, identities in id_splits.items() if identity in identities), "")


def _counts(images: Sequence[Pedestrian]) -> dict[str, int]:
    counts = {}
    for split in dict.fromkeys(image.split for image in images):
        group = [image for image in images if image.split == split]
        counts[f"{split} images".lstrip()] = len(group)
        counts[f"{split} captions".lstrip()] = sum(len(image.captions) for image in group)
        counts[f"{split} identities".lstrip()] = len({image.label for image in group})
    return counts
