"""Owns COCO 2014 with Karpathy's split, its categories, and the folder of sketches that share the photos' names."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from training.datasets.report import Checks, DatasetReport, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, integer_of, list_of, open_dataset, require_mapping, text_of

LIST = "dataset_coco.json"
INSTANCES = ("annotations/instances_train2014.json", "annotations/instances_val2014.json")
SKETCHES = "sketch_jpg"
# The published training joins restval to train.
SPLIT_OF = {"train": "train", "restval": "train", "val": "val", "test": "test"}
# 80 of the ids 1 to 90 are in use.
CATEGORY_IDS = range(1, 91)
PUBLISHED_COUNTS: Mapping[str, int] = {
    "train photos": 113_287,
    "train captions": 566_747,
    "val photos": 5_000,
    "val captions": 25_010,
    "test photos": 5_000,
    "test captions": 25_010,
    "test sketches": 5_000,
}


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo with its captions and COCO category ids (1 to 90, sorted); `sketch` is None where it has none.

    `name` is the path below the folder of images, `val2014/COCO_val2014_000000000042.jpg`.
    """

    path: Path
    name: str
    coco_id: int
    split: str
    captions: tuple[str, ...]
    category_ids: tuple[int, ...]
    sketch: Path | None


@dataclass(frozen=True, slots=True)
class CaptionedPhotos:
    """The photos in the list's order, each once."""

    photos: tuple[CaptionedPhoto, ...]
    report: DatasetReport

    def of(self, split: str) -> tuple[CaptionedPhoto, ...]:
        """The photos of `train` (with restval), `val` or `test`."""
        return tuple(photo for photo in self.photos if photo.split == split)


def load_coco_karpathy(
    root: Path,
    *,
    images: Path | None = None,
    sketches: Path | None = None,
    sketch_splits: Collection[str] = ("test",),
    instances: Sequence[str] = INSTANCES,
    **checks: Unpack[Checks],
) -> CaptionedPhotos:
    """Read the list, and join the categories and sketches by COCO id and by file name.

    `images` holds train2014 and val2014 (else they lie in `root`), `sketches` the drawings (else `root`/sketch_jpg).
    A photo of `sketch_splits` without a sketch is a fault and stays; with no such split no sketch is needed.
    """
    base, faults = open_dataset(root, checks)
    drawn = _sketches(
        sketches or root / SKETCHES, faults, decode=base.decode, is_needed=bool(sketches or sketch_splits)
    )
    categories = _categories(base, instances, faults)
    rows: list[Any] = []
    with faults.at(LIST):
        rows = list_of(require_mapping(base.json(LIST)), "images")
    photos: dict[int, CaptionedPhoto] = {}
    folder = DatasetRoot.at(images, decode=base.decode) if images else base
    for number, row in enumerate(rows):
        record = f"image {number}"
        with faults.at(LIST, record):
            photo = _photo(require_mapping(row), folder, categories, drawn)
            if photo.coco_id in photos:
                raise RecordError(FaultKind.DUPLICATE, f"cocoid {photo.coco_id} was listed before")
            faults.note_name(photo.name, LIST, record)
            photos[photo.coco_id] = photo
    _note_unpaired(photos.values(), drawn, sketch_splits, faults)
    report = faults.finish(base.folder, _counts(photos.values()))
    return CaptionedPhotos(tuple(photos.values()), report)


def _photo(
    row: Mapping[str, Any], images: DatasetRoot, categories: Mapping[int, set[int]], drawn: Mapping[str, Path]
) -> CaptionedPhoto:
    file_name = text_of(row, "filename")
    name = f"{text_of(row, 'filepath')}/{file_name}"
    split = text_of(row, "split")
    if split not in SPLIT_OF:
        raise RecordError(FaultKind.BAD_RECORD, f"`split` is {split!r}, not train, restval, val or test")
    captions = tuple(text_of(require_mapping(sentence), "raw") for sentence in list_of(row, "sentences"))
    if not captions:
        raise RecordError(FaultKind.BAD_RECORD, f"{name} has no sentences")
    coco_id = integer_of(row, "cocoid")
    return CaptionedPhoto(
        path=images.image(name),
        name=name,
        coco_id=coco_id,
        split=SPLIT_OF[split],
        captions=captions,
        category_ids=tuple(sorted(categories.get(coco_id, ()))),
        sketch=drawn.get(Path(file_name).stem),
    )


def _categories(base: DatasetRoot, files: Sequence[str], faults: Faults) -> Mapping[int, set[int]]:
    categories: defaultdict[int, set[int]] = defaultdict(set)
    for file in files:
        rows: list[Any] = []
        with faults.at(file):
            rows = list_of(require_mapping(base.json(file)), "annotations")
        for number, row in enumerate(rows):
            with faults.at(file, f"annotation {number}"):
                record = require_mapping(row)
                category_id = integer_of(record, "category_id")
                if category_id not in CATEGORY_IDS:
                    raise RecordError(FaultKind.BAD_RECORD, f"category {category_id} is not one of 1 to 90")
                categories[integer_of(record, "image_id")].add(category_id)
    return categories


def _sketches(path: Path, faults: Faults, *, decode: bool, is_needed: bool) -> dict[str, Path]:
    """The drawings by name without ending; some sets store PNG for a photo's JPEG."""
    drawn: dict[str, Path] = {}
    if not is_needed and not path.is_dir():
        return drawn
    folder = DatasetRoot.at(path, decode=decode)
    for name in folder.images("*"):
        with faults.at(f"{folder.folder.name}/{name}"):
            if Path(name).stem in drawn:
                raise RecordError(FaultKind.DUPLICATE, "another sketch has this name with another ending")
            drawn[Path(name).stem] = folder.image(name)
    return drawn


def _note_unpaired(
    photos: Collection[CaptionedPhoto], drawn: Mapping[str, Path], sketch_splits: Collection[str], faults: Faults
) -> None:
    for photo in photos:
        if photo.split in sketch_splits and photo.sketch is None:
            faults.note(FaultKind.UNPAIRED, photo.name, "", f"no sketch of this {photo.split} photo")
    listed = {photo.path.stem for photo in photos}
    for stem, path in drawn.items():
        if stem not in listed:
            faults.note(FaultKind.UNPAIRED, f"{path.parent.name}/{path.name}", "", "no usable photo has this name")


def _counts(photos: Collection[CaptionedPhoto]) -> dict[str, int]:
    counts = {}
    for split in dict.fromkeys(SPLIT_OF.values()):
        group = [photo for photo in photos if photo.split == split]
        counts[f"{split} photos"] = len(group)
        counts[f"{split} captions"] = sum(len(photo.captions) for photo in group)
        counts[f"{split} sketches"] = sum(photo.sketch is not None for photo in group)
    return counts
