"""Owns the photos of cars: as the web shows them, from any side and anywhere, and as a road camera sees them from above."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from world.backdrop import paint_backdrop
from world.car import draw_car
from world.car_face import PLATES
from world.car_model import CarModel
from world.car_view import Camera, Light, Painted
from world.palette import Colour, mix, vary
from world.setting import Setting

# As CompCars names viewpoints; degrees around the car.
VIEWPOINTS: Mapping[int, tuple[float, float]] = {1: (-9, 9), 2: (171, 189), 3: (78, 102), 4: (16, 44), 5: (136, 164)}
# By CompCars' colour number.
PAINTS: tuple[Colour, ...] = (
    (30, 32, 36),  # black
    (236, 236, 234),  # white
    (178, 34, 36),  # red
    (228, 186, 52),  # yellow
    (38, 74, 148),  # blue
    (46, 104, 70),  # green
    (92, 60, 118),  # purple
    (104, 74, 54),  # brown
    (206, 186, 152),  # champagne
    (158, 164, 170),  # silver
)
_PAINT_FREQUENCIES = (0.2, 0.22, 0.13, 0.03, 0.1, 0.03, 0.02, 0.05, 0.06, 0.16)
_BLANK_PLATE: Colour = (108, 112, 120)


@dataclass(frozen=True, slots=True)
class CarPhoto:
    """An image and its truth: the car's box (x_min, y_min, x_max, y_max) in pixels from 0, and its colour's number."""

    image: Image.Image
    box_px: tuple[int, int, int, int]
    colour: int


def web_photo(model: CarModel, viewpoint: int, rng: np.random.Generator) -> CarPhoto:
    """A photo as on a page that sells cars, from one of VIEWPOINTS."""
    size = (320, int(rng.choice((200, 214, 240, 240))))
    low, high = VIEWPOINTS[viewpoint]
    around = float(rng.uniform(low, high)) * (-1 if rng.random() < 0.5 else 1)
    camera = Camera(around, above=float(rng.uniform(3, 12)), distance=float(rng.uniform(6.5, 13)))
    location = str(rng.choice(("scene", "studio", "town"), p=(0.4, 0.25, 0.35)))
    backdrop, light, is_dark = _BACKDROPS[location](size, rng)
    room = (round(size[0] * rng.uniform(0.8, 0.96)), round(size[1] * rng.uniform(0.84, 0.95)))
    colour, paint = _paint(rng)
    painted = draw_car(
        model, paint, camera, light, room, plate=PLATES[rng.integers(3)], is_lit=is_dark or rng.random() < 0.15
    )
    box = _compose(backdrop, painted, rng, shadow=0.3 if is_dark else 0.62, glow=0.5 if is_dark else 0.0)
    return CarPhoto(_developed(backdrop, rng, noise=2.5, contrast=0.14, cast=0.04, blur=0.4), box, colour)


def surveillance_photo(model: CarModel, rng: np.random.Generator) -> CarPhoto:
    """A photo by a camera above the road, day or night, its number plate hidden."""
    size = (int(rng.integers(216, 248)), int(rng.integers(204, 240)))
    camera = Camera(float(rng.uniform(-9, 9)), above=float(rng.uniform(10, 20)), distance=float(rng.uniform(9, 18)))
    is_night = bool(rng.random() < 0.4)
    light = _road_light(rng, is_night=is_night)
    colour, paint = _paint(rng)
    road = _road(size, rng, is_night=is_night)
    room = (round(size[0] * rng.uniform(0.84, 0.96)), round(size[1] * rng.uniform(0.9, 0.97)))
    painted = draw_car(
        model,
        paint,
        camera,
        light,
        room,
        plate=_BLANK_PLATE,
        is_lit=is_night or rng.random() < 0.1,
        is_plate_blank=True,
    )
    box = _compose(road, painted, rng, shadow=0.4 if is_night else 0.6, glow=0.9 if is_night else 0.3)
    blurred = road.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.1))))
    image = _developed(blurred, rng, noise=7 if is_night else 4, contrast=0.25, cast=0.08, blur=0.0)
    if rng.random() < 0.18:
        image = image.convert("L").convert("RGB")
    return CarPhoto(image, box, colour)


def _paint(rng: np.random.Generator) -> tuple[int, Colour]:
    number = int(rng.choice(len(PAINTS), p=_PAINT_FREQUENCIES))
    return number, vary(PAINTS[number], rng, 9)


def _scene(size: tuple[int, int], rng: np.random.Generator) -> tuple[Image.Image, Light, bool]:
    """Out of doors in the drawn world, out of focus."""
    setting = Setting.draw(rng)
    half = (size[0] // 2, size[1] // 2)
    backdrop = paint_backdrop(setting, half, rng).resize(size, Image.Resampling.BILINEAR)
    is_dark = setting.time == "night"
    level = 0.45 if is_dark else 0.62
    sun = (float(rng.uniform(-0.6, 0.8)), float(rng.uniform(-0.8, 0.8)), 0.8)
    strength = 0.1 if is_dark else 0.55 if setting.weather == "clear" else 0.3
    return backdrop, Light(sun, strength, level, setting.sky[0], mix(setting.ground[1], (60, 60, 64), 0.6)), is_dark


def _studio(size: tuple[int, int], rng: np.random.Generator) -> tuple[Image.Image, Light, bool]:
    """A hall with a bright wall and a floor that mirrors it."""
    wall = np.array(vary((198, 202, 208), rng, 30), float)
    floor = wall * rng.uniform(0.55, 0.95)
    edge = rng.uniform(0.45, 0.62)
    y = np.linspace(0, 1, size[1])[:, None, None]
    x = np.linspace(-1, 1, size[0])[None, :, None]
    share = 1 / (1 + np.exp(-(y - edge) / 0.03))
    tone = (wall * (1 - share) + floor * share) * (1.08 - 0.25 * np.abs(x) ** 2) * (1.05 - 0.2 * np.abs(y - 0.5))
    backdrop = Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8))
    return (
        backdrop,
        Light((0.3, float(rng.uniform(-0.6, 0.6)), 0.9), 0.4, 0.72, (244, 246, 250), (120, 120, 124)),
        False,
    )


def _town(size: tuple[int, int], rng: np.random.Generator) -> tuple[Image.Image, Light, bool]:
    """A car park before houses or trees, out of focus."""
    quarter = (size[0] // 4, size[1] // 4)
    horizon = int(quarter[1] * rng.uniform(0.36, 0.56))
    sky = vary((184, 206, 230), rng, 18)
    backdrop = Image.new("RGB", quarter, sky)
    pen = ImageDraw.Draw(backdrop)
    left = -2
    while left < quarter[0]:
        width, height = int(rng.integers(6, 22)), int(rng.integers(quarter[1] // 8, max(quarter[1] // 8 + 1, horizon)))
        if rng.random() < 0.35:
            green = vary((78, 112, 66), rng, 20)
            pen.ellipse((left, horizon - height, left + width, horizon + height // 3), fill=green)
        else:
            wall = vary((168, 152, 136), rng, 30)
            pen.rectangle((left, horizon - height, left + width, horizon), fill=wall)
            for row in range(horizon - height + 2, horizon - 2, 4):
                pen.line((left + 1, row, left + width - 2, row), fill=mix(wall, (50, 60, 76), 0.5))
        left += width + int(rng.integers(0, 5))
    ground = mix(vary((124, 124, 126), rng, 14), (124, 124, 126), 0.5)
    pen.rectangle((0, horizon, *quarter), fill=ground)
    for _ in range(int(rng.integers(0, 4))):
        start, end = rng.uniform(-0.5, 1.5, 2) * quarter[0]
        pen.line((start, horizon, end, quarter[1]), fill=mix(ground, (240, 240, 236), 0.6))
    backdrop = backdrop.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    sun = (float(rng.uniform(-0.5, 0.8)), float(rng.uniform(-0.8, 0.8)), 0.8)
    return backdrop, Light(sun, float(rng.uniform(0.25, 0.6)), 0.6, sky, mix(ground, (40, 40, 44), 0.3)), False


_BACKDROPS = {"scene": _scene, "studio": _studio, "town": _town}


def _road(size: tuple[int, int], rng: np.random.Generator, *, is_night: bool) -> Image.Image:
    """Asphalt seen from above, with the edges of a lane."""
    grey = vary((60, 62, 68) if is_night else (136, 138, 140), rng, 12)
    road = Image.new("RGB", size, grey)
    pen = ImageDraw.Draw(road)
    line = mix(grey, (238, 238, 230), 0.3 if is_night else 0.6)
    for side in (-1, 1):
        top, foot = (size[0] * (0.5 + side * rng.uniform(at, at + 0.14)) for at in (0.3, 0.5))
        pen.line((top, 0, foot, size[1]), fill=line, width=int(rng.integers(3, 7)))
    if rng.random() < 0.4:
        y = int(rng.integers(0, size[1] // 3))
        pen.rectangle((0, 0, size[0], y), fill=mix(grey, (30, 32, 36), float(rng.uniform(0.1, 0.6))))
    return road.filter(ImageFilter.GaussianBlur(1.5))


def _road_light(rng: np.random.Generator, *, is_night: bool) -> Light:
    if is_night:
        return Light((0.2, 0.1, 0.95), 0.15, float(rng.uniform(0.36, 0.5)), (64, 68, 84), (30, 30, 34))
    sun = (float(rng.uniform(-0.3, 0.7)), float(rng.uniform(-0.9, 0.9)), 0.8)
    return Light(sun, float(rng.uniform(0.1, 0.55)), float(rng.uniform(0.5, 0.68)))


def _compose(
    backdrop: Image.Image, painted: Painted, rng: np.random.Generator, *, shadow: float, glow: float
) -> tuple[int, int, int, int]:
    """Set the car on its shadow, near the middle and the foot of the image; returns its box in pixels from 0."""
    inside = painted.sprite.getbbox()
    assert inside is not None, "a car has pixels"
    room_x, room_y = backdrop.width - (inside[2] - inside[0]), backdrop.height - (inside[3] - inside[1])
    left = round(room_x * rng.uniform(0.3, 0.7)) - inside[0]
    top = round(room_y * rng.uniform(0.55, 0.85)) - inside[1]
    backdrop.paste((14, 15, 20), (left, top), painted.shadow.point(lambda alpha: alpha * shadow))
    backdrop.paste(painted.sprite, (left, top), painted.sprite)
    if glow:
        near = painted.glow.filter(ImageFilter.GaussianBlur(painted.glow.width * 0.03))
        backdrop.paste((255, 250, 228), (left, top), near.point(lambda alpha: min(255, alpha * 1.6) * glow))
    return (left + inside[0], top + inside[1], left + inside[2], top + inside[3])


def _developed(
    image: Image.Image, rng: np.random.Generator, *, noise: float, contrast: float, cast: float, blur: float
) -> Image.Image:
    """What the camera makes of it: colour cast, contrast, brightness, grain."""
    if blur and rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    pixels: NDArray[np.float32] = np.asarray(image, np.float32)
    gain = (1 + rng.normal(0, cast, 3)).astype(np.float32)
    level, middle = 1 + float(rng.uniform(-contrast, contrast * 0.4)), 118.0
    pixels = (pixels * gain - middle) * np.float32(level) + np.float32(middle + rng.normal(0, 60 * contrast))
    grain = rng.normal(0, noise * rng.uniform(0.3, 1), (image.height, image.width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
