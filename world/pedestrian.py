"""Owns the image of one person as a surveillance camera crops it: the figure, before a place, seen by that camera."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from world.figure import Figure, Pose
from world.head import draw_hair_behind, draw_head
from world.legwear import draw_leg, draw_skirt
from world.luggage import draw_before, draw_behind, draw_in_hand, draw_umbrella
from world.pedestrian_cameras import CAMERAS, Camera
from world.sprite import Sprite
from world.tops import draw_arm, draw_torso
from world.wardrobe import Person

# The board is wider than the image, so that bags and umbrellas have room before the crop.
_BOARD_ASPECT = 0.68
_UNDER_UMBRELLA = 0.79


@dataclass(frozen=True, slots=True)
class Sight:
    """One meeting of a person and a camera."""

    camera: Camera
    pose: Pose
    size: tuple[int, int]

    @property
    def view(self) -> str:
        """`front`, `back` or `side`."""
        return self.pose.view


def draw_sight(camera: Camera, rng: np.random.Generator) -> Sight:
    """How a person happens to pass a camera: from where one sees them, in which step, in how large an image."""
    facing = rng.choice((0.0, np.pi, np.pi / 2, -np.pi / 2), p=(0.34, 0.26, 0.2, 0.2))
    is_walking = rng.random() < 0.75
    pose = Pose(
        yaw=float(facing + rng.normal(0, 0.26)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0.06, 0.13) if is_walking else rng.uniform(0.0, 0.02)),
    )
    height = int(rng.integers(*camera.heights))
    return Sight(camera, pose, (round(height * rng.uniform(0.4, 0.5)), height))


def draw_pedestrian(person: Person, sight: Sight, rng: np.random.Generator) -> Image.Image:
    """Draw the crop, RGB; about 128 to 224 pixels high."""
    width, height = sight.size
    image = sight.camera.backdrop(sight.size, rng)
    sprite = _figure(person, sight.pose, round(height * rng.uniform(0.9, 1.0)))
    left = round((width - sprite.width) / 2 + rng.normal(0, 0.03) * width)
    top = height - sprite.height + round(rng.normal(-0.012, 0.012) * height)
    _shadow(image, left + sprite.width / 2, top + sprite.height)
    image.paste(sprite, (left, top), sprite)
    return sight.camera.expose(image, rng)


def draw_seen(person: Person, number: int, rng: np.random.Generator) -> tuple[Image.Image, Sight]:
    """The `number`-th image of a person; successive numbers are of different cameras."""
    sight = draw_sight(CAMERAS[number % len(CAMERAS)], rng)
    return draw_pedestrian(person, sight, rng), sight


def _figure(person: Person, pose: Pose, height_px: int) -> Image.Image:
    board = Sprite(height_px, _BOARD_ASPECT)
    share = _UNDER_UMBRELLA if person.umbrella is not None else 0.985
    figure = Figure(board, pose, centre=_BOARD_ASPECT / 2, height=share, broad=person.broad)
    far_first = (-1, 1) if figure.is_near((1.0, 0.0, 0.0)) else (1, -1)
    raised = -person.hand if person.umbrella is not None else 0

    def arm(side: int) -> None:
        draw_arm(figure, person, side, is_raised=side == raised)
        if side == person.hand:
            draw_in_hand(figure, person)

    is_side_on = pose.view == "side"
    draw_hair_behind(figure, person)
    draw_behind(figure, person)
    if is_side_on:
        arm(far_first[0])
    for side in far_first:
        draw_leg(figure, person, side)
    draw_skirt(figure, person)
    draw_torso(figure, person)
    draw_before(figure, person)
    for side in far_first[1:] if is_side_on else far_first:
        arm(side)
    draw_head(figure, person)
    draw_umbrella(figure, person)
    return board.finish(volume=0.8)


def _shadow(image: Image.Image, x: float, y: float) -> None:
    """A soft dark patch under the feet ties them to the ground."""
    reach, mask = image.height * 0.16, Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse((x - reach, y - reach * 0.3, x + reach, y + reach * 0.16), fill=110)
    image.paste((20, 20, 26), mask=mask.filter(ImageFilter.BoxBlur(image.height * 0.012)))
