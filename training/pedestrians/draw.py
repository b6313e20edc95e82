"""Owns which drawn people are for training, which for choosing and which for nothing but the final figures."""

from pathlib import Path

from training.pedestrians.config import WorldConfig
from world.pedestrian_album import Split, write_pedestrians

# Albums of their own: no run trains on them, whatever seed its config names.
VALIDATION_ALBUM, HELD_OUT_ALBUM = 910_002, 910_001
HELD_OUT_PEOPLE, HELD_OUT_IMAGES = 250, 4


def draw_all(folder: Path, world: WorldConfig) -> None:
    """Draw the three splits; ids count on from one to the next, as published."""
    write_pedestrians(
        folder,
        (
            Split("train", world.seed, world.train, world.images, first_id=1),
            Split("val", VALIDATION_ALBUM, world.val, world.images, first_id=1 + world.train),
            Split("test", HELD_OUT_ALBUM, world.test, world.images, first_id=1 + world.train + world.val),
        ),
    )


def draw_test_split(folder: Path) -> None:
    """Draw the test split alone: 1,000 images of 250 people."""
    write_pedestrians(folder, (Split("test", HELD_OUT_ALBUM, HELD_OUT_PEOPLE, HELD_OUT_IMAGES, first_id=1),))
