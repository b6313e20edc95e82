from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from training.datasets.car_names import load_car_names
from training.datasets.compcars import FRONT_VIEWS, load_surveillance_cars, load_web_cars
from world.car_dataset import Photos, write_cars
from world.car_model import MODELS_A_MAKE, model_of
from world.car_photo import VIEWPOINTS, surveillance_photo, web_photo

SEED = 3


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models that train and two of the test."""
    folder = tmp_path_factory.mktemp("cars")
    photos = Photos(front=3, other=1, road=2)
    write_cars(folder, seed=SEED, train=(1, 2, 3), test=(1901, 1902), train_photos=photos, test_photos=photos)
    return folder


def test_models_are_the_same_for_ever_and_differ() -> None:
    """Models of a make share its face and differ in their own measures."""
    models = [model_of(SEED, number) for number in range(1, MODELS_A_MAKE + 2)]

    assert models == [model_of(SEED, number) for number in range(1, MODELS_A_MAKE + 2)]
    assert len({model.make.number for model in models[:-1]}) == 1
    assert models[-1].make.number == 2
    for model, other in pairwise(models[:-1]):
        assert model.make == other.make
        assert model.grille_width != other.grille_width


@pytest.mark.parametrize("viewpoint", VIEWPOINTS)
def test_a_web_photo_shows_the_car_in_its_box(viewpoint: int) -> None:
    """The same generator state gives the same photo; the box is most of its width, and inside."""
    photo, again = (web_photo(model_of(SEED, 1), viewpoint, np.random.default_rng(5)) for _ in range(2))

    assert photo.image.tobytes() == again.image.tobytes()
    left, top, right, bottom = photo.box_px
    assert -8 <= left < right <= photo.image.width + 8
    assert -8 <= top < bottom <= photo.image.height + 8
    assert right - left > photo.image.width / 4


def test_a_road_camera_looks_from_above_and_shows_no_plate() -> None:
    """Two cars of a model are two photos, and neither is as wide as a web photo."""
    rng = np.random.default_rng(5)
    first, second = (surveillance_photo(model_of(SEED, 1), rng).image for _ in range(2))

    assert first.tobytes() != second.tobytes()
    assert max(first.width, second.width) < web_photo(model_of(SEED, 1), 1, rng).image.width


def test_what_is_drawn_is_read_as_compcars(drawn: Path) -> None:
    """Lists, labels, boxes and names without a fault; nothing of the test is in training."""
    everything = load_web_cars(drawn, expected={"photos": 20, "models": 5})
    train, test = (load_web_cars(drawn, split=f"classification/{part}") for part in ("train", "test"))
    road = [
        load_surveillance_cars(drawn, split=part, expected={"photos": count})
        for part, count in (("train", 6), ("test", 4))
    ]

    assert len(everything.seen_from(*FRONT_VIEWS)) == 15
    assert {car.model_id for car in train.cars} == {1, 2, 3} == {car.model_id for car in road[0].cars}
    assert {car.model_id for car in test.cars} == {1901, 1902} == {car.model_id for car in road[1].cars}
    assert not {car.make_id for car in train.cars} & {car.make_id for car in test.cars}


def test_names_and_attributes_are_those_of_the_models(drawn: Path) -> None:
    """By their ids, with holes for models that were not drawn."""
    names, model = load_car_names(drawn), model_of(SEED, 1902)

    assert names.models.keys() == {1, 2, 3, 1901, 1902}
    assert names.makes[model.make.number] == model.make.name
    assert names.models[1902].endswith(model.name)
    assert names.attributes[1902].type == model.body
    assert names.attributes[1902].doors == model.shape.doors


def test_a_photo_does_not_depend_on_what_else_is_drawn(drawn: Path, tmp_path: Path) -> None:
    """The same model drawn alone has the same photos, under the same names."""
    write_cars(tmp_path, seed=SEED, train=(), test=(1902,), train_photos=Photos(0, 0, 0), test_photos=Photos(1, 0, 0))

    (alone,) = load_web_cars(tmp_path).cars
    among = {car.name: car.path for car in load_web_cars(drawn).cars}
    assert alone.path.read_bytes() == among[alone.name].read_bytes()
