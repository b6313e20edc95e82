"""Images drawn for tests: plain colours, coloured blocks and encoded bytes of them."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageDraw

from domain.box import Box

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (230, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 230),
    "yellow": (230, 230, 30),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
_HEIC_FILES = Path(__file__).parents[1] / "encoders" / "images" / "data"
_AS_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def plain(colour: str = "red", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Draw one colour everywhere; `size` is (width, height)."""
    return Image.new("RGB", size, COLOURS[colour])


def blocks(placed: Mapping[str, Box], size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Draw one coloured block in each box on a grey ground."""
    image = Image.new("RGB", size, (120, 120, 120))
    draw = ImageDraw.Draw(image)
    width_px, height_px = size
    for colour, (x_min, y_min, x_max, y_max) in placed.items():
        corners = (
            round(x_min * width_px),
            round(y_min * height_px),
            round(x_max * width_px) - 1,
            round(y_max * height_px) - 1,
        )
        draw.rectangle(corners, fill=COLOURS[colour])
    return image


def corners(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Draw a different colour in each quarter, so that a turned or mirrored image is another image."""
    return blocks(
        {"red": (0, 0, 0.5, 0.5), "green": (0.5, 0, 1, 0.5), "blue": (0, 0.5, 0.5, 1), "yellow": (0.5, 0.5, 1, 1)}, size
    )


def quarters(pixels: np.ndarray) -> list[tuple[int, int, int]]:
    """Sample the colours in the middle of the four quarters, left to right, top to bottom."""
    height_px, width_px = pixels.shape[:2]
    return [tuple(pixels[height_px * y // 4, width_px * x // 4].tolist()) for y in (1, 3) for x in (1, 3)]


def drawing(size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Draw a black stroke on a transparent ground, as drawing boards export it."""
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).line([(8, 8), (size[0] - 8, size[1] - 8)], fill=(0, 0, 0, 255), width=4)
    return image


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """Encode an image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def claiming(width_px: int, height_px: int) -> bytes:
    """Make a PNG of a few hundred bytes whose header claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def without_adobe_marker(jpeg: bytes) -> bytes:
    """Take the APP14 segment out of a JPEG, as some scanners leave it out."""
    start = jpeg.index(b"\xff\xee")
    (length,) = struct.unpack(">H", jpeg[start + 2 : start + 4])
    return jpeg[:start] + jpeg[start + 2 + length :]


def turned(image: Image.Image, orientation: int, file_format: str = "JPEG") -> bytes:
    """Store an upright image as a camera held otherwise would: turned pixels and the EXIF tag that turns them back."""
    stored = image.transpose(_AS_STORED[orientation]) if orientation in _AS_STORED else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, file_format, exif=exif, **({"quality": 95} if file_format == "JPEG" else {}))


def heic(name: str) -> bytes:
    """Read one of the committed HEIC files, which Pillow cannot write: corners, deep, drawing, p3, turned, mirrored, large."""
    return (_HEIC_FILES / f"{name}.heic").read_bytes()


def photo(
    colour: str = "red", *, taken: str = "2024:05:01 12:30:00", camera: tuple[str, str] = ("Fovea", "F1")
) -> bytes:
    """Encode a JPEG with what a camera writes: date, make and model, lens, and a place in Munich."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = camera
    details, location = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    details[ExifTags.Base.DateTimeOriginal], details[ExifTags.Base.LensModel] = taken, "26mm f/1.8"
    location |= {1: "N", 2: (48.0, 8.0, 30.0), 3: "W", 4: (11.0, 34.0, 0.0)}
    return encoded(plain(colour), "JPEG", exif=exif)


HOSTILE: Mapping[str, tuple[bytes, str]] = {
    "zero bytes": (b"", "empty"),
    "truncated JPEG": (encoded(corners(), "JPEG")[:-300], "damaged or cut off"),
    "truncated PNG": (encoded(corners(), "PNG")[:-40], "damaged or cut off"),
    "header only": (encoded(corners(), "PNG")[:20], "damaged or cut off"),
    "50,000 x 50,000 pixels": (claiming(50_000, 50_000), "too large"),
    "10,000 x 8,000 pixels": (claiming(10_000, 8_000), "10,000 x 8,000"),
    "a side of 20,000 pixels": (claiming(20_000, 10), "20,000 x 10"),
    "SVG": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "HTML": (b"\n<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "noise": (bytes(range(256)), "not an image"),
}
"""Hostile uploads by name: the bytes, and words of the sentence that refuses them."""
