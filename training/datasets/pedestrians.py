"""Owns CUHK-PEDES: `imgs/` and `reid_raw.json`, or `caption_all.json`, which may say nothing of splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from training.datasets.fields import integer_of, is_text, list_of, require_mapping, text_of
from training.datasets.report import DatasetReport, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot

SPLITS = ("train", "val", "test")
LISTS = ("reid_raw.json", "caption_all.json")
# By 1-based identity, as published; for lists that name no split.
PUBLISHED_IDS: Mapping[str, range] = MappingProxyType(
    {"train": range(1, 11_004), "val": range(11_004, 12_004), "test": range(12_004, 13_004)}
)
PUBLISHED_COUNTS: Mapping[str, int] = MappingProxyType(
    {
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
)


@dataclass(frozen=True, slots=True)
class Pedestrian:
    """One picture of a person: `name` is its path below `imgs`, `label` the identity from 0, as classifiers count.

    `split` is `train`, `val` or `test`, or empty where the list names none.
    """

    path: Path
    name: str
    label: int
    captions: tuple[str, ...]
    split: str


@dataclass(frozen=True, slots=True)
class CaptionQuery:
    """One caption; `picture` is the row in the gallery of the picture that it was written for."""

    caption: str
    label: int
    picture: int


@dataclass(frozen=True, slots=True)
class Pedestrians:
    """The pictures in the list's order, each once."""

    pictures: tuple[Pedestrian, ...]
    report: DatasetReport

    def of(self, split: str) -> tuple[Pedestrian, ...]:
        """The pictures of a split, which are its gallery; raises ValueError where the list names no splits."""
        if split not in SPLITS:
            raise ValueError(f"{split!r} is no split; choose train, val or test.")
        if self.pictures and not any(picture.split for picture in self.pictures):
            raise ValueError(
                "This list names no splits; load it with id_splits=PUBLISHED_IDS or your own ranges of ids."
            )
        return tuple(picture for picture in self.pictures if picture.split == split)

    def queries(self, split: str) -> tuple[CaptionQuery, ...]:
        """Every caption of a split, in the gallery's order."""
        return tuple(
            CaptionQuery(caption, picture.label, row)
            for row, picture in enumerate(self.of(split))
            for caption in picture.captions
        )


def load_pedestrians(
    root: Path,
    *,
    list_name: str | None = None,
    id_splits: Mapping[str, range] | None = None,
    expected: Mapping[str, int] | None = None,
    decode: bool = False,
    allow_incomplete: bool = False,
) -> Pedestrians:
    """Read the list (the first of LISTS that is there) and look for every picture.

    `id_splits` tells the splits of a list without them. Raises DatasetError for any fault unless `allow_incomplete`.
    """
    base = DatasetRoot.at(root, decode=decode)
    file = list_name or next((name for name in LISTS if (root / name).exists()), LISTS[0])
    faults = Faults()
    rows: list[Any] = []
    with faults.at(file):
        rows = list_of({"the list": base.json(file)}, "the list")
    pictures = _in_one_split(_pedestrians(rows, base.child("imgs"), file, faults), file, faults)
    if id_splits and not any(picture.split for picture in pictures):
        pictures = [replace(picture, split=_split_of(picture.label + 1, id_splits)) for picture in pictures]
    report = faults.finish(base.folder, _counts(pictures), expected, allow_incomplete=allow_incomplete)
    return Pedestrians(tuple(pictures), report)


def _pedestrians(rows: Sequence[Any], images: DatasetRoot, file: str, faults: Faults) -> list[Pedestrian]:
    has_splits = any(isinstance(row, dict) and "split" in row for row in rows)
    pictures: dict[Path, Pedestrian] = {}
    for number, row in enumerate(rows):
        record = f"record {number}"
        with faults.at(file, record):
            picture = _pedestrian(require_mapping(row), images, has_splits=has_splits)
            if picture.path in pictures:
                raise RecordError(FaultKind.DUPLICATE, f"{picture.name} was listed before")
            faults.note_name(picture.name, file, record)
            pictures[picture.path] = picture
    return list(pictures.values())


def _pedestrian(row: Mapping[str, Any], images: DatasetRoot, *, has_splits: bool) -> Pedestrian:
    name = text_of(row, "file_path")
    split = text_of(row, "split") if has_splits else ""
    if has_splits and split not in SPLITS:
        raise RecordError(FaultKind.BAD_RECORD, f"`split` is {split!r}, not train, val or test")
    captions = list_of(row, "captions")
    if not captions or not all(is_text(caption) for caption in captions):
        raise RecordError(FaultKind.BAD_RECORD, f"`captions` of {name} are not one text or more")
    return Pedestrian(images.picture(name), name, integer_of(row, "id", at_least=1) - 1, tuple(captions), split)


def _in_one_split(pictures: Sequence[Pedestrian], file: str, faults: Faults) -> list[Pedestrian]:
    """Leave out whoever stands in a second split: figures on people seen in training would mean nothing."""
    split_of: dict[int, str] = {}
    kept = []
    for picture in pictures:
        if split_of.setdefault(picture.label, picture.split) == picture.split:
            kept.append(picture)
        else:
            detail = f"id {picture.label + 1} is in {split_of[picture.label]} and again in {picture.split}"
            faults.note(FaultKind.DUPLICATE, file, picture.name, detail)
    return kept


def _split_of(identity: int, id_splits: Mapping[str, range]) -> str:
    return next((split for split, identities in id_splits.items() if identity in identities), "")


def _counts(pictures: Sequence[Pedestrian]) -> dict[str, int]:
    counts = {}
    for split in dict.fromkeys(picture.split for picture in pictures):
        group = [picture for picture in pictures if picture.split == split]
        counts[f"{split} images".lstrip()] = len(group)
        counts[f"{split} captions".lstrip()] = sum(len(picture.captions) for picture in group)
        counts[f"{split} identities".lstrip()] = len({picture.label for picture in group})
    return counts
