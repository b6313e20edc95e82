"""Owns the drawn world's part of the general embedding's training images: single objects cut out of scenes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from world.scene import Scene, SceneObject, draw_scene

SCENE_SIZE = (640, 480)


@dataclass(frozen=True, slots=True)
class DrawnCrop:
    """A drawn object; `fine` is its kind in its colour, `coarse` its kind."""

    image: Image.Image
    fine: str
    coarse: str

    def open(self) -> Image.Image:
        """The image, RGB."""
        return self.image


def drawn_crops(count: int, seed: int) -> list[DrawnCrop]:
    """Cut `count` objects out of the album `seed`."""
    return list(islice(_endless_crops(seed), count))


def _endless_crops(seed: int) -> Iterator[DrawnCrop]:
    number = 0
    while True:
        rng = np.random.default_rng([seed, number])
        scene = draw_scene(rng, SCENE_SIZE)
        for item in scene.objects:
            yield DrawnCrop(_cut(scene, item, rng), f"drawn/{item.label}/{item.colour}", f"drawn/{item.label}")
        number += 1


def _cut(scene: Scene, item: SceneObject, rng: np.random.Generator) -> Image.Image:
    """The object's box, off by up to a tenth at each edge, as a detector's would be."""
    width, height = scene.image.size
    x_min, y_min, x_max, y_max = item.box
    room_x, room_y = (x_max - x_min) * 0.1, (y_max - y_min) * 0.1
    edges = (x_min - room_x, y_min - room_y, x_max + room_x, y_max + room_y)
    back = rng.uniform(0, 1, 4) * (room_x, room_y, -room_x, -room_y)
    left, top, right, bottom = np.clip(np.asarray(edges) + back, 0, 1) * (width, height, width, height)
    return scene.image.crop((int(left), int(top), round(right), round(bottom)))
