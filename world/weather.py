"""Owns what the weather puts in front of a scene: rain, snowflakes, fog."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from world.setting import Setting


def paint_weather(image: Image.Image, setting: Setting, rng: np.random.Generator) -> Image.Image:
    """Paint the weather over a finished scene."""
    match setting.weather:
        case "rain":
            return _rain(image, rng)
        case "snow":
            return _snow(image, rng)
        case "fog":
            return _fog(image, setting)
        case _:
            return image


def _rain(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    streaks = Image.new("L", (image.width * 2, image.height * 2))
    pen = ImageDraw.Draw(streaks)
    for _ in range(190):
        x, y = rng.uniform(0, streaks.width), rng.uniform(-20, streaks.height)
        length = streaks.height * rng.uniform(0.02, 0.05)
        pen.line(
            (x, y, x - length * 0.22, y + length), fill=int(rng.integers(50, 120)), width=max(1, streaks.height // 500)
        )
    image.paste((226, 234, 242), mask=streaks.reduce(2))
    return image


def _snow(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    flakes = Image.new("L", image.size)
    pen = ImageDraw.Draw(flakes)
    for _ in range(150):
        x, y = rng.uniform(0, image.width), rng.uniform(0, image.height)
        radius = image.height * rng.uniform(0.0015, 0.0055)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(rng.integers(140, 245)))
    image.paste((255, 255, 255), mask=flakes.filter(ImageFilter.GaussianBlur(image.height * 0.0011)))
    return image


def _fog(image: Image.Image, setting: Setting) -> Image.Image:
    """Thickest at the horizon, thin near the viewer."""
    heights = np.linspace(0, 1, image.height)
    thickness = 0.5 * np.exp(-(((heights - setting.horizon) / 0.16) ** 2)) + 0.1
    mask = np.repeat((thickness * 255).astype(np.uint8)[:, None], image.width, axis=1)
    image.paste(setting.sky[1], mask=Image.fromarray(mask))
    return image
