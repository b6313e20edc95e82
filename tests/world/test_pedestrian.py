"""Drawn pedestrians: the same person everywhere, and no other person the same."""

from dataclasses import replace

import numpy as np
import pytest

from world.figure import Pose
from world.pedestrian import Sight, draw_pedestrian, draw_seen, draw_sight
from world.pedestrian_cameras import CAMERAS
from world.wardrobe import BAG, CLOTH, HAT, LOWER, SHOES, UPPER, Garment, Person, draw_person


def person(number: int) -> Person:
    return draw_person(np.random.default_rng([5, number]))


def pixels_of(shown: Person, pose: Pose) -> np.ndarray:
    """The same moment of the same camera, whoever is there."""
    image = draw_pedestrian(shown, Sight(CAMERAS[0], pose, (80, 176)), np.random.default_rng(9))
    return np.asarray(image, np.int16)


def test_same_seed_same_image() -> None:
    """A person and their image are the same to the last pixel whenever they are drawn; the next ones are others."""
    first, again, other = (draw_seen(person(0), 2, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert person(0) == person(0) != person(1)
    assert first[0].tobytes() == again[0].tobytes() != other[0].tobytes()
    assert first[1] == again[1]


def test_successive_images_are_of_different_cameras() -> None:
    """Six images show a person in six places, each of the size that its camera cuts out."""
    seen = [draw_seen(person(3), number, np.random.default_rng(number)) for number in range(6)]

    assert {sight.camera.name for _, sight in seen} == {camera.name for camera in CAMERAS}
    for image, sight in seen:
        low, high = sight.camera.heights
        assert low <= image.height < high
        assert image.size == sight.size


def test_views_are_called_as_one_sees_them() -> None:
    """All of them occur, the front most often, and walking to either side is a side."""
    sights = [draw_sight(CAMERAS[0], np.random.default_rng([8, number])) for number in range(200)]

    counts = {view: sum(sight.view == view for sight in sights) for view in ("front", "side", "back")}
    assert all(count > 30 for count in counts.values())
    assert [Pose(yaw, 0, 0).view for yaw in (0, np.pi / 2, np.pi, -np.pi / 2)] == ["front", "side", "back", "side"]


def dressed(**changes: object) -> Person:
    plain = replace(
        person(1),
        hair="short",
        upper=Garment("shirt", "red", CLOTH["red"]),
        lower=Garment("trousers", "grey", CLOTH["grey"]),
        shoes=Garment("shoes", "black", CLOTH["black"]),
        bag=None,
        hat=None,
        scarf=None,
        umbrella=None,
        glasses="",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("yaw", [0.1, 1.5, 3.0])
def test_every_piece_can_be_seen(yaw: float) -> None:
    """From every side, each kind of garment and bag makes another image than each other kind."""
    pose = Pose(yaw, 1.0, 0.08)
    for field, kinds in {"upper": UPPER, "lower": LOWER, "shoes": SHOES, "bag": BAG, "hat": HAT}.items():
        images = [
            pixels_of(dressed(**{field: Garment(kind, "blue", CLOTH["blue"])} if kind else {}), pose) for kind in kinds
        ]
        for number, image in enumerate(images):
            for other in images[:number]:
                assert (np.abs(image - other).max(axis=2) > 24).mean() > 0.001, (field, list(kinds)[number])


def test_colour_of_clothes_shows() -> None:
    """A red and a blue shirt differ over a good part of the image, and nowhere else than at the body."""
    pose = Pose(0.0, 0.0, 0.0)
    red, blue = (pixels_of(dressed(upper=Garment("shirt", name, CLOTH[name])), pose) for name in ("red", "blue"))

    differs = np.abs(red - blue).max(axis=2) > 40
    assert 0.08 < differs.mean() < 0.4
    assert not differs[:, :8].any()
    assert not differs[-40:].any()
