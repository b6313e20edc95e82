"""Owns the photos of a run by its protocol: those that train, and the gallery and the queries of the test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.cars.config import ProtocolConfig
from training.datasets.car_names import load_car_names
from training.datasets.car_split import CarSplit, split_cars
from training.datasets.compcars import FRONT_VIEWS, SurveillanceCar, WebCar, load_surveillance_cars, load_web_cars

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPhotos:
    """The database of training with its split, road cameras' photos of the same models, and models' types by id."""

    web: tuple[WebCar, ...]
    split: CarSplit
    road: tuple[SurveillanceCar, ...]
    types: Mapping[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class TestPhotos:
    """What is asked and what is searched; no model has fewer photos in the gallery than the protocol wants."""

    __test__ = False  # pytest collects what is called Test

    gallery: tuple[WebCar, ...]
    queries: tuple[SurveillanceCar, ...]

    @property
    def gallery_labels(self) -> Labels:
        return labels_of(self.gallery)

    @property
    def query_labels(self) -> Labels:
        return labels_of(self.queries)


def load_training_photos(
    root: Path, protocol: ProtocolConfig, *, with_types: bool, allow_incomplete: bool = False
) -> TrainingPhotos:
    """Read the training lists, decode every photo once, and read the models' attributes `with_types`."""
    web = load_web_cars(root, split=protocol.train or None, decode=True, allow_incomplete=allow_incomplete)
    road = load_surveillance_cars(
        root, split=protocol.road_train or None, decode=True, allow_incomplete=allow_incomplete
    )
    database = web.seen_from(*FRONT_VIEWS)
    models = set(labels_of(database).tolist())
    attributes = load_car_names(root, allow_incomplete=allow_incomplete).attributes if with_types else {}
    return TrainingPhotos(
        web=database,
        split=split_cars(labels_of(database), ratio=protocol.ratio, min_count=protocol.min_count),
        road=tuple(car for car in road.cars if car.model_id in models),
        types={model: known.type for model, known in attributes.items() if model in models and known.type},
    )


def load_test_photos(root: Path, protocol: ProtocolConfig, *, allow_incomplete: bool = False) -> TestPhotos:
    """Read the test lists; `allow_incomplete` decodes every photo once."""
    web = load_web_cars(root, split=protocol.test or None, decode=allow_incomplete, allow_incomplete=allow_incomplete)
    road = load_surveillance_cars(
        root, split=protocol.road_test or None, decode=allow_incomplete, allow_incomplete=allow_incomplete
    )
    database = web.seen_from(*FRONT_VIEWS)
    split = split_cars(labels_of(database), ratio=protocol.ratio, min_count=protocol.min_count)
    gallery = tuple(car for car, is_minor in zip(database, split.is_minor, strict=True) if not is_minor)
    models = set(labels_of(gallery).tolist())
    return TestPhotos(gallery, tuple(car for car in road.cars if car.model_id in models))


def labels_of(cars: tuple[WebCar, ...] | tuple[SurveillanceCar, ...]) -> Labels:
    """The models of photos, in their order: (N,)."""
    return np.array([car.model_id for car in cars], np.int64)
