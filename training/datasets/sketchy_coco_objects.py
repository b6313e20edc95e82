"""Owns what SketchyCOCO's scene sketches show: the objects of `Scene/Annotation/paper_version`, as boxes with labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from training.datasets.annotated import AnnotatedImage, AnnotatedImages, TrueObject, counts_of, labels_of
from training.datasets.matlab import variable_in
from training.datasets.report import Checks, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, open_dataset
from training.datasets.sketchy_coco import SPLITS

# By the numbers of the class maps, in COCO-Stuff's words. 0 is what nobody drew, 13 does not occur, clouds have two.
LABELS: Mapping[int, str] = {
    1: "bicycle",
    2: "car",
    3: "motorcycle",
    4: "airplane",
    5: "traffic light",
    6: "fire hydrant",
    7: "cat",
    8: "dog",
    9: "horse",
    10: "sheep",
    11: "cow",
    12: "elephant",
    14: "zebra",
    15: "giraffe",
    16: "clouds",
    17: "grass",
    18: "clouds",
    19: "tree",
}
_SKETCHES, _ANNOTATIONS = "Scene/Sketch/paper_version", "Scene/Annotation/paper_version"

_Map = NDArray[Any]


def load_sketchy_coco_objects(root: Path, *splits: str, **checks: Unpack[Checks]) -> AnnotatedImages:
    """Read the scene sketches of some splits, of all where none is named, with the objects drawn in them.

    A scene's `CLASS_GT/<name>.mat` and `INSTANCE_GT/<name>.mat` say of each pixel of its sketch which class and which
    object it belongs to.
    """
    base, faults = open_dataset(root, checks)
    sketches, annotations = base.child(_SKETCHES), base.child(_ANNOTATIONS)
    images: list[AnnotatedImage] = []
    for name in (name for split in splits or SPLITS for name in sketches.images(f"{split}/*")):
        with faults.at(f"{_SKETCHES}/{name}"):
            images.append(_image(name, sketches, annotations, faults))
    report = faults.finish(base.folder, counts_of(images))
    return AnnotatedImages(tuple(images), labels_of(images), report)


def _image(name: str, sketches: DatasetRoot, annotations: DatasetRoot, faults: Faults) -> AnnotatedImage:
    path, relative = sketches.image(name), Path(name)
    classes, instances = (
        _map(annotations, f"{relative.parent}/{variable}/{relative.stem}.mat", variable)
        for variable in ("CLASS_GT", "INSTANCE_GT")
    )
    if classes.shape != instances.shape:
        raise RecordError(FaultKind.BAD_RECORD, f"classes {classes.shape} and objects {instances.shape} differ in size")
    objects = []
    for number in np.unique(instances[instances > 0]).tolist():
        with faults.at(f"{_SKETCHES}/{name}", f"object {number:g}"):
            objects.append(_object(classes, instances == number))
    height_px, width_px = classes.shape
    return AnnotatedImage(path, relative.with_suffix("").as_posix(), width_px, height_px, tuple(objects))


def _map(annotations: DatasetRoot, file: str, variable: str) -> _Map:
    values = variable_in(annotations, file, variable)
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise RecordError(FaultKind.BROKEN_FILE, f"{variable} is not a map of numbers")
    return values


def _object(classes: _Map, is_object: NDArray[np.bool_]) -> TrueObject:
    found = np.unique(classes[is_object]).tolist()
    label = LABELS.get(found[0]) if len(found) == 1 else None
    if label is None:
        raise RecordError(FaultKind.BAD_RECORD, f"its pixels are of the classes {found}")
    rows, columns = np.nonzero(is_object)
    height_px, width_px = classes.shape
    box = (
        float(columns.min() / width_px),
        float(rows.min() / height_px),
        float((columns.max() + 1) / width_px),
        float((rows.max() + 1) / height_px),
    )
    return TrueObject(label, box)
