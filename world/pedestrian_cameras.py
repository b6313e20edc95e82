"""Owns the cameras that see pedestrians: each with its place, its light and its lens."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from world.palette import Colour, darker, lighter, mix, vary

Size = tuple[int, int]
Paint = Callable[[ImageDraw.ImageDraw, Size, float, np.random.Generator], None]


@dataclass(frozen=True, slots=True)
class Camera:
    """`light` multiplies RGB, `noise` is in levels of 255, `blur` in pixels of an image 200 high.

    `heights` is how high its crops are, in pixels, the upper end not included.
    """

    name: str
    wall: tuple[Colour, ...]
    ground: tuple[Colour, ...]
    paint: Paint
    light: tuple[float, float, float]
    noise: float
    blur: float
    heights: tuple[int, int]
    quality: int

    def backdrop(self, size: Size, rng: np.random.Generator) -> Image.Image:
        """Paint the place behind the person, a little out of focus."""
        width, height = size
        horizon = float(rng.uniform(0.5, 0.74)) * height
        wall, ground = (vary(shades[rng.integers(len(shades))], rng, 9) for shades in (self.wall, self.ground))
        image = Image.new("RGB", size, wall)
        pen = ImageDraw.Draw(image)
        self.paint(pen, size, horizon, rng)
        rows = np.linspace(0, 1, max(2, height - round(horizon)))[:, None]
        floor = np.asarray(lighter(ground, 0.18)) * (1 - rows) + np.asarray(darker(ground, 0.12)) * rows
        strip = Image.fromarray(floor.astype(np.uint8)[:, None, :].repeat(width, axis=1))
        image.paste(strip, (0, round(horizon)))
        _joints(pen, size, horizon, darker(ground, 0.16), rng)
        return image.filter(ImageFilter.BoxBlur(0.006 * height))

    def expose(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """What the camera makes of it: its light and white balance, its lens, its sensor."""
        blurred = image.filter(ImageFilter.GaussianBlur(self.blur * image.height / 200 * rng.uniform(0.6, 1.3)))
        gain = np.asarray(self.light) * rng.normal(1, 0.07) * rng.normal(1, 0.02, 3)
        seen = np.asarray(blurred, np.float32) * gain.astype(np.float32)
        seen += rng.standard_normal(seen.shape, np.float32) * np.float32(self.noise)
        return Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))


def _joints(pen: ImageDraw.ImageDraw, size: Size, horizon: float, shade: Colour, rng: np.random.Generator) -> None:
    """Slabs of the pavement, in perspective."""
    width, height = size
    for share in (0.12, 0.32, 0.62):
        y = horizon + (height - horizon) * share
        pen.line((0, y, width, y), fill=shade)
    vanishing = rng.uniform(-0.5, 1.5) * width
    for foot in np.arange(-2.5, 3.6, 0.55) * width:
        pen.line((vanishing + (foot - vanishing) * 0.35, horizon, foot, height), fill=shade)


def _facade(pen: ImageDraw.ImageDraw, size: Size, horizon: float, rng: np.random.Generator) -> None:
    """A house front with windows."""
    width, _ = size
    glass = vary((96, 118, 140), rng, 12)
    step = width * rng.uniform(0.34, 0.6)
    for x in np.arange(rng.uniform(-0.4, 0.0) * width, width, step):
        for y in (-0.06 * horizon, 0.5 * horizon):
            corners = (x, y, x + step * 0.62, y + horizon * 0.36)
            pen.rectangle(corners, fill=glass, outline=lighter(glass, 0.5))


def _shops(pen: ImageDraw.ImageDraw, size: Size, horizon: float, rng: np.random.Generator) -> None:
    """Lit shop windows under a coloured sign."""
    width, _ = size
    step = width * rng.uniform(0.5, 0.9)
    for x in np.arange(rng.uniform(-0.6, 0.0) * width, width, step):
        sign = vary(((150, 60, 54), (60, 96, 140), (70, 120, 84), (170, 140, 70))[rng.integers(4)], rng, 12)
        pen.rectangle((x, 0, x + step * 0.94, horizon * 0.2), fill=sign)
        pane = (x + step * 0.06, horizon * 0.26, x + step * 0.88, horizon * 0.94)
        pen.rectangle(pane, fill=mix((236, 214, 168), (150, 160, 170), float(rng.random())))


def _hedge(pen: ImageDraw.ImageDraw, size: Size, horizon: float, rng: np.random.Generator) -> None:
    """Leaves, and the trunks between them."""
    width, _ = size
    for _ in range(70):
        x, y = rng.uniform(0, width), rng.uniform(0, horizon)
        reach, shade = width * rng.uniform(0.04, 0.14), vary((86, 124, 74), rng, 18)
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=shade)
    x = rng.uniform(0, width)
    pen.rectangle((x, horizon * 0.2, x + width * 0.1, horizon), fill=vary((92, 74, 58), rng, 8))


def _hall(pen: ImageDraw.ImageDraw, size: Size, horizon: float, rng: np.random.Generator) -> None:
    """An indoor wall with panels, a rail and a poster."""
    width, _ = size
    for x in np.arange(rng.uniform(-0.3, 0.0) * width, width, width * 0.42):
        pen.line((x, 0, x, horizon), fill=(168, 170, 166), width=2)
    poster = vary(((90, 130, 170), (190, 150, 90), (160, 90, 90), (110, 150, 120))[rng.integers(4)], rng, 15)
    left = rng.uniform(-0.2, 0.8) * width
    pen.rectangle((left, horizon * 0.1, left + width * 0.4, horizon * 0.6), fill=poster, outline=(230, 230, 226))
    pen.rectangle((0, horizon * 0.84, width, horizon * 0.89), fill=(126, 130, 132))


def _kerb(pen: ImageDraw.ImageDraw, size: Size, horizon: float, rng: np.random.Generator) -> None:
    """Across the road: a parked car's flank, a wall above."""
    width, _ = size
    paint = vary(((150, 46, 46), (60, 84, 130), (190, 190, 190), (50, 52, 58))[rng.integers(4)], rng, 12)
    left = rng.uniform(-0.9, 0.5) * width
    pen.rectangle((0, horizon * 0.72, width, horizon), fill=(98, 100, 106))
    pen.rounded_rectangle((left, horizon * 0.5, left + width * 1.2, horizon * 0.86), width * 0.08, fill=paint)
    cabin = (left + width * 0.25, horizon * 0.32, left + width * 0.95, horizon * 0.56)
    pen.rounded_rectangle(cabin, width * 0.08, fill=darker(paint, 0.1))
    for x in (left + width * 0.25, left + width * 0.95):
        reach = width * 0.11
        pen.ellipse((x - reach, horizon * 0.86 - reach, x + reach, horizon * 0.86 + reach), fill=(34, 34, 38))


def _steps(pen: ImageDraw.ImageDraw, size: Size, horizon: float, rng: np.random.Generator) -> None:
    """Stairs of an underpass, and its handrail."""
    width, _ = size
    shade = vary((128, 126, 124), rng, 8)
    for number, y in enumerate(np.linspace(horizon * 0.3, horizon, 8)):
        pen.rectangle((0, y, width, y + horizon * 0.05), fill=lighter(shade, 0.1 + 0.03 * number))
    slope = rng.choice((-1.0, 1.0)) * width * 0.5
    pen.line((width / 2 - slope, horizon * 0.1, width / 2 + slope, horizon * 0.8), fill=(70, 74, 80), width=3)


CAMERAS: tuple[Camera, ...] = (
    Camera(
        "cam_a",
        ((196, 178, 156), (178, 160, 150)),
        ((168, 164, 158), (150, 148, 144)),
        _facade,
        (1.0, 1.0, 0.98),
        3.0,
        0.5,
        (160, 225),
        90,
    ),
    Camera(
        "cam_b",
        ((96, 98, 108), (112, 104, 100)),
        ((132, 128, 126),),
        _shops,
        (1.03, 0.98, 0.9),
        5.0,
        0.8,
        (140, 200),
        80,
    ),
    Camera(
        "cam_c",
        ((112, 140, 96), (98, 128, 92)),
        ((176, 166, 142), (140, 152, 116)),
        _hedge,
        (1.0, 1.03, 0.97),
        3.0,
        0.6,
        (150, 210),
        88,
    ),
    Camera(
        "cam_d",
        ((204, 208, 204), (188, 194, 192)),
        ((156, 158, 152), (178, 172, 160)),
        _hall,
        (0.94, 1.0, 0.96),
        4.0,
        0.7,
        (130, 190),
        82,
    ),
    Camera(
        "cam_e",
        ((168, 152, 142), (150, 156, 164)),
        ((158, 156, 154),),
        _kerb,
        (0.92, 0.96, 1.03),
        4.0,
        0.9,
        (128, 180),
        80,
    ),
    Camera(
        "cam_f",
        ((146, 140, 132),),
        ((136, 132, 128), (120, 120, 122)),
        _steps,
        (0.86, 0.86, 0.88),
        6.0,
        1.0,
        (128, 180),
        76,
    ),
)
