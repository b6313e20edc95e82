"""Writes a folder of drawn cars as CompCars is published: web photos, road cameras' photos, names and official lists."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from world.car_model import BODIES, CarModel, model_of
from world.car_photo import CarPhoto, surveillance_photo, web_photo
from world.drawing import drawn

# As many of each as CompCars has: 1 front, 4 front and side; and of the others 2 rear, 3 side, 5 rear and side.
_FRONT_FREQUENCIES = {1: 0.27, 4: 0.73}
_OTHER_FREQUENCIES = {2: 0.2, 3: 0.35, 5: 0.45}
_WEB, _ROAD = 3, 4


@dataclass(frozen=True, slots=True)
class Photos:
    """How many photos of each model: from the web with the front in view, from the web without, by road cameras."""

    front: int
    other: int
    road: int


def write_cars(
    folder: Path, *, seed: int, train: Sequence[int], test: Sequence[int], train_photos: Photos, test_photos: Photos
) -> None:
    """Draw the models of these numbers; a photo is the same whatever else is drawn.

    The official lists name the photos of the `train` models for training, those of the `test` models for the test.
    """
    models = [model_of(seed, number) for number in (*train, *test)]
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    colours: list[list[object]] = []
    photos = [train_photos] * len(train) + [test_photos] * len(test)
    orders = list(zip(models, photos, range(1, len(models) + 1), strict=True))
    for number, (web, road) in enumerate(drawn(partial(_write_model, folder, seed), orders, "drawing cars")):
        part = "train" if number < len(train) else "test"
        lists[f"data/train_test_split/classification/{part}.txt"] += web
        lists[f"sv_data/{part}_surveillance.txt"] += [name for name, _ in road]
        colours += [[name, np.array([[colour]])] for name, colour in road]
    for path, names in lists.items():
        _write(folder / path, "".join(f"{name}\n" for name in names))
    savemat(folder / "sv_data/color_list.mat", {"color_list": _cells(colours)})
    _write_names(folder, models)


_LISTS = (
    *(f"data/train_test_split/classification/{part}.txt" for part in ("train", "test")),
    *(f"sv_data/{part}_surveillance.txt" for part in ("train", "test")),
)


def _write_model(
    folder: Path, seed: int, order: tuple[CarModel, Photos, int]
) -> tuple[list[str], list[tuple[str, int]]]:
    """All photos of a model: the names of those of the web, and of those of road cameras with their colours."""
    model, photos, row = order
    return list(_write_web(folder, model, seed, photos)), list(_write_road(folder, model, seed, photos.road, row))


def _write_web(folder: Path, model: CarModel, seed: int, photos: Photos) -> Iterable[str]:
    """Photos with their labels; returns their names."""
    for number in range(photos.front + photos.other):
        rng = np.random.default_rng([seed, _WEB, model.number, number])
        frequencies = _FRONT_FREQUENCIES if number < photos.front else _OTHER_FREQUENCIES
        viewpoint = int(rng.choice(list(frequencies), p=list(frequencies.values())))
        photo = web_photo(model, viewpoint, rng)
        year = "unknown" if rng.random() < 0.05 else str(int(rng.integers(2009, 2016)))
        name = f"{model.make.number}/{model.number}/{year}/{_hash(seed, _WEB, model.number, number)}"
        _save(photo.image, folder / f"data/image/{name}.jpg", int(rng.integers(72, 93)))
        _write(folder / f"data/label/{name}.txt", f"{viewpoint}\n1\n{_label_box(photo)}\n")
        yield f"{name}.jpg"


def _write_road(folder: Path, model: CarModel, seed: int, count: int, row: int) -> Iterable[tuple[str, int]]:
    """Road cameras' photos; returns their names and colours."""
    for number in range(count):
        rng = np.random.default_rng([seed, _ROAD, model.number, number])
        photo = surveillance_photo(model, rng)
        name = f"{row}/{_hash(seed, _ROAD, model.number, number)}.jpg"
        _save(photo.image, folder / "sv_data/image" / name, int(rng.integers(48, 80)))
        yield name, photo.colour


def _write_names(folder: Path, models: Iterable[CarModel]) -> None:
    """Names by id, with holes where no model was drawn, as the published list has them."""
    by_number = {model.number: model for model in models}
    makes = {model.make.number: model.make.name for model in by_number.values()}
    misc = folder / "data/misc"
    misc.mkdir(parents=True, exist_ok=True)
    names = {
        "make_names": _cells([[makes.get(number, "")] for number in range(1, max(makes) + 1)]),
        "model_names": _cells([[_full_name(by_number.get(number))] for number in range(1, max(by_number) + 1)]),
    }
    savemat(misc / "make_model_name.mat", names)
    types = list(BODIES)
    savemat(misc / "car_type.mat", {"types": _cells([list(types)])})
    lines = ["model_id maximum_speed displacement door_number seat_number type"]
    for model in by_number.values():
        known = (model.speed_km_h, model.displacement_l, model.shape.doors, model.shape.seats)
        lines.append(" ".join(str(value) for value in (model.number, *known, types.index(model.body) + 1)))
    _write(misc / "attributes.txt", "\n".join(lines) + "\n")
    rows: list[list[object]] = [
        [model.make.name, model.name, np.array([[model.number]])] for model in by_number.values()
    ]
    savemat(folder / "sv_data/sv_make_model_name.mat", {"sv_make_model_name": _cells(rows)})


def _full_name(model: CarModel | None) -> str:
    return "" if model is None else f"{model.make.name} {model.name}"


def _label_box(photo: CarPhoto) -> str:
    """Pixels from 1, the last one belonging to the box."""
    left, top, right, bottom = photo.box_px
    width, height = photo.image.size
    return f"{max(left, 0) + 1} {max(top, 0) + 1} {min(right, width)} {min(bottom, height)}"


def _cells(rows: Sequence[Sequence[object]]) -> NDArray[Any]:
    """A MATLAB cell array."""
    array = np.empty((len(rows), len(rows[0]) if rows else 0), object)
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            array[row, column] = value
    return array


def _hash(*key: int) -> str:
    """A file's name: 14 hex digits, as published."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:14]


def _save(image: Image.Image, path: Path, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
