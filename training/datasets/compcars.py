"""Owns CompCars: web photos of cars with viewpoint and box, and the cars that a road camera saw from the front."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Unpack

from PIL import Image

from domain.box import Box
from training.datasets.annotated import Frame
from training.datasets.car_names import surveillance_model_ids
from training.datasets.report import Checks, DatasetReport, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, integer_in, number_in, open_dataset


class Viewpoint(IntEnum):
    """From where a web photo shows the car."""

    UNKNOWN = -1
    FRONT = 1
    REAR = 2
    SIDE = 3
    FRONT_SIDE = 4
    REAR_SIDE = 5


FRONT_VIEWS = (Viewpoint.FRONT, Viewpoint.FRONT_SIDE)
REAR_VIEWS = (Viewpoint.REAR, Viewpoint.REAR_SIDE)
# <make>/<model>/<year>/<file>, of images and labels alike.
WEB_PATTERN = "*/*/*/*"


@dataclass(frozen=True, slots=True)
class WebCar:
    """A web photo: `name` is `<make>/<model>/<year>/<file>`, `year` None where unknown, `box` in normalized coordinates."""

    path: Path
    name: str
    make_id: int
    model_id: int
    year: int | None
    viewpoint: Viewpoint
    box: Box


@dataclass(frozen=True, slots=True)
class WebCars:
    """Web photos sorted by name, or in the order of the split list."""

    cars: tuple[WebCar, ...]
    report: DatasetReport

    def seen_from(self, *viewpoints: Viewpoint) -> tuple[WebCar, ...]:
        """The photos of some viewpoints; the published database is `seen_from(*FRONT_VIEWS)`."""
        return tuple(car for car in self.cars if car.viewpoint in viewpoints)


@dataclass(frozen=True, slots=True)
class SurveillanceCar:
    """A road camera's photo: `name` is `<sv id>/<file>`, `model_id` that of the web photos."""

    path: Path
    name: str
    sv_id: int
    model_id: int


@dataclass(frozen=True, slots=True)
class SurveillanceCars:
    """Road cameras' photos sorted by name, or in the order of the split list."""

    cars: tuple[SurveillanceCar, ...]
    report: DatasetReport


def load_web_cars(root: Path, *, split: str | None = None, **checks: Unpack[Checks]) -> WebCars:
    """Read `data/`; `split` names an official list below `data/train_test_split`, as `classification/train`.

    Opens every image's header, because boxes are in pixels.
    """
    base, faults = open_dataset(root, checks)
    images, labels = base.child("data/image"), base.child("data/label")
    listed = f"data/train_test_split/{split}.txt" if split else None
    names = _listed(base, images, WEB_PATTERN, listed, faults)
    cars = faults.collect(names, lambda name: _web_car(name, images, labels, faults))
    if listed is None:
        _note_lost_images(images, labels, faults)
    found = tuple(cars.values())
    counts = {"photos": len(found), "models": len({car.model_id for car in found})}
    report = faults.finish(base.folder, counts)
    return WebCars(found, report)


def load_surveillance_cars(root: Path, *, split: str | None = None, **checks: Unpack[Checks]) -> SurveillanceCars:
    """Read `sv_data/`; `split` is `train` or `test` of the official lists, None all photos."""
    base, faults = open_dataset(root, checks)
    images = base.child("sv_data/image")
    model_ids: Mapping[int, int] = {}
    with faults.at("sv_data/sv_make_model_name.mat"):
        model_ids = surveillance_model_ids(base)
    listed = f"sv_data/{split}_surveillance.txt" if split else None
    # Without the models nothing is a car of any; that is one fault, not one for each photo.
    names = _listed(base, images, "*/*", listed, faults) if model_ids else iter(())
    cars = faults.collect(names, lambda name: _surveillance_car(name, images, model_ids))
    found = tuple(cars.values())
    counts = {"photos": len(found), "models": len({car.model_id for car in found})}
    report = faults.finish(base.folder, counts)
    return SurveillanceCars(found, report)


def _listed(
    base: DatasetRoot, images: DatasetRoot, pattern: str, listed: str | None, faults: Faults
) -> Iterator[tuple[str, str, str]]:
    """Where each photo is named, file and record, and its name."""
    if listed is None:
        for name in images.images(pattern):
            yield f"{images.prefix}{name}", "", name
        return
    for record, line in base.lines(listed, faults):
        yield listed, record, line


def _web_car(name: str, images: DatasetRoot, labels: DatasetRoot, faults: Faults) -> WebCar:
    path = images.image(name)
    folders = name.split("/")
    if len(folders) != 4:
        raise RecordError(FaultKind.BAD_RECORD, f"{name} is not <make>/<model>/<year>/<file>")
    make, model, year, _ = folders
    label_name = f"{name.rsplit('.', 1)[0]}.txt"
    label = f"{labels.prefix}{label_name}"
    viewpoint, edges_px = _label(labels.text(label_name), label)
    x_min, y_min, x_max, y_max = edges_px
    return WebCar(
        path=path,
        name=name,
        make_id=integer_in(make, "the make", at_least=1),
        model_id=integer_in(model, "the model", at_least=1),
        year=None if year == "unknown" else integer_in(year, "the year"),
        viewpoint=viewpoint,
        # Pixels count from 1 and the last one belongs to the box.
        box=Frame(*_size_px(path, f"{images.prefix}{name}"), label, faults).box(
            (x_min - 1, y_min - 1, x_max, y_max), ""
        ),
    )


def _label(text: str, file: str) -> tuple[Viewpoint, tuple[float, float, float, float]]:
    """The viewpoint, how many boxes there are, and the boxes: one, wherever the set is intact."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 3:
        raise RecordError(FaultKind.BROKEN_FILE, f"{file} has {len(lines)} lines, not 3")
    view = integer_in(" ".join(lines[0]), f"the viewpoint in {file}", at_least=-1)
    if view not in list(Viewpoint):
        raise RecordError(FaultKind.BAD_RECORD, f"{file} names viewpoint {view}")
    boxes = integer_in(" ".join(lines[1]), f"the number of boxes in {file}")
    if boxes != len(lines) - 2:
        raise RecordError(FaultKind.WRONG_COUNT, f"{file} announces {boxes} boxes and holds {len(lines) - 2}")
    if len(lines[2]) != 4:
        raise RecordError(FaultKind.BAD_RECORD, f"{file} has a box of {len(lines[2])} numbers")
    x_min, y_min, x_max, y_max = (number_in(edge, f"an edge in {file}") for edge in lines[2])
    return Viewpoint(view), (x_min, y_min, x_max, y_max)


def _size_px(path: Path, shown: str) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordError(FaultKind.BROKEN_FILE, f"{shown} is not a readable image") from error


def _surveillance_car(name: str, images: DatasetRoot, model_ids: Mapping[int, int]) -> SurveillanceCar:
    path = images.image(name)
    sv_id = integer_in(name.split("/", 1)[0], "the folder", at_least=1)
    if sv_id not in model_ids:
        raise RecordError(FaultKind.BAD_RECORD, f"sv_make_model_name.mat has no row for folder {sv_id}")
    return SurveillanceCar(path, name, sv_id, model_ids[sv_id])


def _note_lost_images(images: DatasetRoot, labels: DatasetRoot, faults: Faults) -> None:
    stems = {name.rsplit(".", 1)[0] for name in images.images(WEB_PATTERN)}
    for path in sorted(labels.folder.glob(f"{WEB_PATTERN}.txt")):
        stem = path.relative_to(labels.folder).with_suffix("").as_posix()
        if stem not in stems:
            faults.note(FaultKind.MISSING_FILE, f"data/label/{stem}.txt", "", f"data/image/{stem}.jpg is not there")
