"""Files that cost far more than their size: millions of parts, and callers that have left."""

import io
import struct
import time
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image

from encoders.errors import DecodingCancelled, InvalidContent
from encoders.images.decoding import decode, open_image
from tests.support.images import corners, encoded

PARTS = 1_000_000
CPU_S = 3.0
"""Generous: without a bound each of these files takes ten seconds and more."""


def _png_of_many_texts() -> bytes:
    text = b"k\0v"
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    png = encoded(corners())
    return png[:33] + chunk * PARTS + png[33:]


def _png_of_tiny_data() -> bytes:
    """Its pixels come a byte at a time."""
    png = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 255, (600, 600, 3), dtype=np.uint8)))
    start = png.index(b"IDAT") - 4
    (length,) = struct.unpack(">I", png[start : start + 4])
    content = png[start + 8 : start + 8 + length]
    parts = [
        b"\0\0\0\1IDAT" + bytes([each]) + struct.pack(">I", zlib.crc32(b"IDAT" + bytes([each]))) for each in content
    ]
    return png[:start] + b"".join(parts) + png[start + 12 + length :]


def _jpeg_of(part: bytes) -> bytes:
    jpeg = encoded(corners(), "JPEG")
    return jpeg[:2] + part * PARTS + jpeg[2:]


def _gif_of_many_comments() -> bytes:
    gif = encoded(corners().quantize(4), "GIF")
    start = 13 + 3 * (2 << (gif[10] & 7))
    return gif[:start] + b"!\xfe\x01x\0" * PARTS + gif[start:]


COSTLY: Mapping[str, Callable[[], bytes]] = {
    "PNG, texts": _png_of_many_texts,
    "PNG, pixels": _png_of_tiny_data,
    "JPEG, comments": lambda: _jpeg_of(b"\xff\xfe\0\2"),
    "JPEG, fill bytes": lambda: _jpeg_of(b"\xff"),
    "GIF, comments": _gif_of_many_comments,
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_file_of_countless_parts_is_refused_soon(name: str) -> None:
    """A small file made of very many parts costs no more than an honest one of its size."""
    data = COSTLY[name]()

    started_s = time.thread_time()
    with pytest.raises(InvalidContent, match="small parts"):
        decode(data)

    assert time.thread_time() - started_s < CPU_S


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_honest_file_has_few_parts(file_format: str) -> None:
    """A photo of several megapixels, noisy so that it compresses badly, is read in any format."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (1500, 2000, 3), dtype=np.uint8))

    if file_format == "GIF":
        noise = noise.convert("P")
    assert decode(encoded(noise, file_format)).pixels.shape == (1500, 2000, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
def test_decoding_ends_when_the_caller_is_gone(file_format: str) -> None:
    """Decoding stops once the caller has left."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (1500, 2000, 3), dtype=np.uint8))
    is_gone = False
    opened = open_image(encoded(noise, file_format), is_cancelled=lambda: is_gone)
    is_gone = True

    with pytest.raises(DecodingCancelled):
        opened.decode()
    with pytest.raises(DecodingCancelled):
        open_image(encoded(corners(), file_format), is_cancelled=lambda: True)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 20}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_marker_is_read(mode: str, options: Mapping[str, object]) -> None:
    """All pixels are there, so the JPEG is read, and a warning says what it lacks."""
    whole = encoded(_photo().convert(mode), "JPEG", **options)

    for lacking in (1, 2):
        image = decode(whole[:-lacking])
        assert np.array_equal(image.pixels, decode(whole).pixels)
        assert [("end marker" in warning) for warning in image.warnings] == [True]


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_that_lacks_pixels_is_refused(subsampling: int) -> None:
    """Wherever the pixels of a JPEG break off, it is refused: what is missing is never made up."""
    whole = encoded(_photo(), "JPEG", subsampling=subsampling)
    expected = decode(whole).pixels

    for length in [*range(700, len(whole) - 60, 97), *range(len(whole) - 60, len(whole) - 2)]:
        try:
            pixels = decode(whole[:length]).pixels
        except InvalidContent:
            continue
        assert np.array_equal(pixels, expected), f"cut at {length} of {len(whole)}"


def test_a_cut_jpeg_is_refused_when_decoded_small() -> None:
    """Decoding at a fraction hides no missing rows."""
    whole = encoded(_photo().resize((1600, 1200)), "JPEG")

    assert decode(whole[:-2], enough_px=(100, 100)).warnings
    with pytest.raises(InvalidContent, match="cut off"):
        decode(whole[: len(whole) * 9 // 10], enough_px=(100, 100))


def _photo() -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 60, (120, 90, 3))
    ramp = np.linspace(0, 190, 90)[None, :, None]
    image = Image.fromarray((noise + ramp).astype(np.uint8))
    return Image.open(io.BytesIO(encoded(image)))
