"""Owns detection sets in COCO's JSON: `images`, `annotations` with boxes as x, y, width, height, and `categories`."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from training.datasets.annotated import AnnotatedImage, AnnotatedImages, Frame, TrueObject, counts_of
from training.datasets.report import Checks, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, integer_of, list_of, number_in, open_dataset, require_mapping, text_of

# What VOC calls six of COCO's classes.
VOC_NAMES: Mapping[str, str] = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "dining table": "diningtable",
    "potted plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
}


def load_coco_detection(
    annotations: Path, folder: Path, *, renames: Mapping[str, str] | None = None, **checks: Unpack[Checks]
) -> AnnotatedImages:
    """Read one JSON file and find its images below `folder`, in the file's order.

    Class ids follow the order of COCO's category ids, without their gaps. `renames` changes labels, as VOC_NAMES does.
    A box that reaches outside its image is cut.
    """
    base, faults = open_dataset(folder, checks)
    file = annotations.name
    document: Mapping[str, Any] = {}
    with faults.at(file):
        document = require_mapping(DatasetRoot.at(annotations.parent).json(file))
    names = _categories(document, renames or {}, file, faults)
    images = _images(document, base, file, faults)
    objects = _objects(document, images, names, file, faults)
    found = tuple(image.annotated(objects[image_id]) for image_id, image in images.items() if image.path is not None)
    report = faults.finish(annotations, counts_of(found))
    return AnnotatedImages(found, tuple(dict.fromkeys(names[number] for number in sorted(names))), report)


@dataclass(frozen=True, slots=True)
class _Image:
    """An entry of `images`; `path` is None where the file cannot be used, so that its boxes are not a second fault."""

    name: str
    width_px: int
    height_px: int
    path: Path | None

    def annotated(self, objects: list[TrueObject]) -> AnnotatedImage:
        """The image with its objects."""
        assert self.path is not None
        return AnnotatedImage(self.path, self.name, self.width_px, self.height_px, tuple(objects))


def _rows(document: Mapping[str, Any], field: str, file: str, faults: Faults) -> list[Any]:
    with faults.at(file):
        return list_of(document, field) if document else []
    return []


def _categories(document: Mapping[str, Any], renames: Mapping[str, str], file: str, faults: Faults) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, row in enumerate(_rows(document, "categories", file, faults)):
        with faults.at(file, f"category {number}"):
            category = require_mapping(row)
            category_id, name = integer_of(category, "id"), text_of(category, "name")
            if category_id in names:
                raise RecordError(FaultKind.DUPLICATE, f"id {category_id} was listed before")
            names[category_id] = renames.get(name, name)
    return names


def _images(document: Mapping[str, Any], root: DatasetRoot, file: str, faults: Faults) -> dict[int, _Image]:
    images: dict[int, _Image] = {}
    for number, row in enumerate(_rows(document, "images", file, faults)):
        record = f"image {number}"
        with faults.at(file, record):
            fields = require_mapping(row)
            image_id, name = integer_of(fields, "id"), text_of(fields, "file_name")
            if image_id in images:
                raise RecordError(FaultKind.DUPLICATE, f"id {image_id} was listed before")
            width_px, height_px = (integer_of(fields, side, at_least=1) for side in ("width", "height"))
            images[image_id] = _Image(name, width_px, height_px, None)
            images[image_id] = _Image(name, width_px, height_px, root.image(name))
            faults.note_name(name, file, record)
    return images


def _objects(
    document: Mapping[str, Any], images: Mapping[int, _Image], names: Mapping[int, str], file: str, faults: Faults
) -> defaultdict[int, list[TrueObject]]:
    objects: defaultdict[int, list[TrueObject]] = defaultdict(list)
    seen: set[int] = set()
    for number, row in enumerate(_rows(document, "annotations", file, faults)):
        record = f"annotation {number}"
        with faults.at(file, record):
            fields = require_mapping(row)
            annotation_id = integer_of(fields, "id")
            if annotation_id in seen:
                raise RecordError(FaultKind.DUPLICATE, f"id {annotation_id} was listed before")
            seen.add(annotation_id)
            image_id = integer_of(fields, "image_id")
            if image_id not in images:
                raise RecordError(FaultKind.BAD_RECORD, f"image_id {image_id} is that of no usable image")
            image = images[image_id]
            objects[image_id].append(
                _object(fields, names, Frame(image.width_px, image.height_px, file, faults), record)
            )
    return objects


def _object(fields: Mapping[str, Any], names: Mapping[int, str], frame: Frame, record: str) -> TrueObject:
    category_id = integer_of(fields, "category_id")
    if category_id not in names:
        raise RecordError(FaultKind.BAD_RECORD, f"category_id {category_id} is that of no category")
    edges = list_of(fields, "bbox")
    if len(edges) != 4:
        raise RecordError(FaultKind.BAD_RECORD, f"`bbox` has {len(edges)} numbers, not 4")
    x_px, y_px, width_px, height_px = (number_in(edge, "`bbox`") for edge in edges)
    box = frame.box((x_px, y_px, x_px + width_px, y_px + height_px), record)
    attributes = require_mapping(fields.get("attributes", {}))
    return TrueObject(
        names[category_id],
        box,
        is_difficult=fields.get("iscrowd") == 1,
        attributes={name: str(value) for name, value in attributes.items()},
    )
