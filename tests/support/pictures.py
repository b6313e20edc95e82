"""Pictures drawn for tests: plain colours, coloured blocks and encoded bytes of them."""

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw

Box = tuple[float, float, float, float]

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (230, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 230),
    "yellow": (230, 230, 30),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


def plain(colour: str = "red", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Draw one colour everywhere; `size` is (width, height)."""
    return Image.new("RGB", size, COLOURS[colour])


def blocks(placed: Mapping[str, Box], size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Draw one coloured block in each box (shares 0..1) on a grey ground."""
    picture = Image.new("RGB", size, (120, 120, 120))
    draw = ImageDraw.Draw(picture)
    width_px, height_px = size
    for colour, (x_min, y_min, x_max, y_max) in placed.items():
        corners = (
            round(x_min * width_px),
            round(y_min * height_px),
            round(x_max * width_px) - 1,
            round(y_max * height_px) - 1,
        )
        draw.rectangle(corners, fill=COLOURS[colour])
    return picture


def corners(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Draw a different colour in each quarter, so that a turned or mirrored picture is another picture."""
    return blocks(
        {"red": (0, 0, 0.5, 0.5), "green": (0.5, 0, 1, 0.5), "blue": (0, 0.5, 0.5, 1), "yellow": (0.5, 0.5, 1, 1)}, size
    )


def drawing(size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Draw a black stroke on a transparent ground, as drawing boards export it."""
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(picture).line([(8, 8), (size[0] - 8, size[1] - 8)], fill=(0, 0, 0, 255), width=4)
    return picture


def encoded(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """Encode a picture as a file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()
