"""Owns the drawn dataset: scenes, and for training also composed ones, in the layout that the config names."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from training.objects.config import ObjectsConfig
from training.photos import Photo, clothing_photos, grocery_photos
from world.coco_detection import write_coco_detection
from world.composition import compose_scene
from world.drawing import drawn
from world.kinds import LABELS
from world.scene import Scene, draw_scene
from world.voc import write_voc

# As large as an image of a detection set, and larger than the network sees it.
SIZE = (480, 360)
MOST_CLUTTER = 4
# The albums that figures are taken from are the same for every run; training draws from that of the config's seed.
VALIDATION_ALBUM, GALLERY_ALBUM, QUERY_ALBUM = 900_001, 900_002, 900_003

Draw = Callable[[int], Scene]


def draw_dataset(config: ObjectsConfig, folder: Path, realdata: Path) -> None:
    """Draw every split."""
    world = config.world
    photos = _photos(realdata) if world.composed else []
    draw_training = partial(_training_image, config.seed, world.drawn, photos)
    _write(config, folder, config.data.train, world.drawn + world.composed, draw_training)
    _write(config, folder, config.data.validation, world.validation, partial(_scene, VALIDATION_ALBUM))
    draw_held_out(config, folder)


def draw_held_out(config: ObjectsConfig, folder: Path) -> None:
    """Draw the splits that are evaluated on: the gallery and the queries."""
    world = config.world
    _write(config, folder, config.data.gallery, world.gallery, partial(_scene, GALLERY_ALBUM))
    _write(config, folder, config.data.queries, world.queries, partial(_scene, QUERY_ALBUM))


def _write(config: ObjectsConfig, folder: Path, split: str, count: int, draw: Draw) -> None:
    write = write_voc if config.data.layout == "voc" else write_coco_detection
    write(folder, split, _named(split, count, draw), LABELS)


def _named(split: str, count: int, draw: Draw) -> Iterator[tuple[str, Scene]]:
    for number, scene in enumerate(drawn(draw, range(count), f"scenes of {split}")):
        yield f"{split}_{number:06}", scene


def _training_image(album: int, scenes: int, photos: Sequence[Photo], number: int) -> Scene:
    """The first are drawn scenes, the others composed ones."""
    if number < scenes:
        return _scene(album, number)
    return _composed(photos, np.random.default_rng([album, number]))


def _scene(album: int, number: int) -> Scene:
    return draw_scene(np.random.default_rng([album, number]), SIZE)


def _photos(realdata: Path) -> list[Photo]:
    return [*grocery_photos(realdata / "grocery", "train"), *clothing_photos(realdata / "clothing")]


def _composed(photos: Sequence[Photo], rng: np.random.Generator) -> Scene:
    chosen = rng.integers(len(photos), size=1 + rng.integers(0, MOST_CLUTTER + 1))
    background, *clutter = (photos[number].open() for number in chosen)
    return compose_scene(background, rng, SIZE, clutter=clutter)
