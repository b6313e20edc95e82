import random
import struct
from collections.abc import Callable

import numpy as np
import pytest

from encoders.errors import InvalidContent
from encoders.images.decoding import decode, probe
from tests.support.images import COLOURS, corners, encoded, heic, quarters


@pytest.mark.parametrize("name", ["corners", "deep", "turned", "mirrored"])
def test_heic_is_read_upright(name: str) -> None:
    """Photos of 8 and 10 bits are read, turned and mirrored as the file says and not once more by its EXIF."""
    image, header = decode(heic(name)), probe(heic(name))

    expected = [COLOURS[colour] for colour in ("red", "green", "blue", "yellow")]
    assert np.abs(np.asarray(quarters(image.pixels)) - np.asarray(expected)).max() <= 2
    assert (header.format, header.width_px, header.height_px) == ("HEIF", 96, 64)
    assert (image.width_px, image.height_px, image.warnings) == (96, 64, ())


def test_transparent_heic_shows_white() -> None:
    """What is transparent is white, as in a PNG."""
    pixels = decode(heic("drawing")).pixels

    assert pixels[2, 60].tolist() == [255, 255, 255]
    assert pixels.min() < 10


def test_wide_colours_are_converted() -> None:
    """The profile of a phone, Display P3, is converted to sRGB: red becomes more intense than its number."""
    assert probe(heic("p3")).has_colour_profile
    red = decode(heic("p3")).pixels[10, 10]
    assert red[0] > 245
    assert red[1:].max() < 10


def test_a_kind_of_metadata_that_is_no_text_does_no_harm() -> None:
    """Metadata whose kind is not UTF-8, over which the library's own reader ends the process, are left alone."""
    assert decode(heic("turned").replace(b"Exif", b"E\xcaif", 1)).pixels.shape == (64, 96, 3)


def test_a_size_that_is_a_lie_is_refused() -> None:
    """A file that claims few pixels and holds many is refused before it takes their memory."""
    with pytest.raises(InvalidContent, match="damaged"):
        decode(_claiming(64, 64))


def test_a_large_heic_is_refused_by_name() -> None:
    """HEIC and AVIF may have 50 megapixels; the sentence says what the file has."""
    with pytest.raises(InvalidContent, match="9,000 x 6,000 pixels: HEIC of 54 megapixels; the limit is 50"):
        decode(_claiming(9000, 6000))
    assert probe(_claiming(8064, 6048)).width_px == 8064


@pytest.mark.parametrize("make", [lambda: heic("turned"), lambda: encoded(corners(), "AVIF")], ids=["HEIC", "AVIF"])
def test_damage_is_refused_or_read(make: Callable[[], bytes]) -> None:
    """Wherever a file breaks off or is damaged, the answer is an image or a refusal and nothing else."""
    whole, chance = make(), random.Random(5)
    damaged = [whole[:length] for length in range(1, len(whole), 7)]
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(4):
            changed[chance.randrange(8, len(whole))] = chance.randrange(256)
        damaged.append(bytes(changed))
    for data in damaged:
        try:
            decode(data)
        except InvalidContent:
            continue


def _claiming(width_px: int, height_px: int) -> bytes:
    actual, claimed = (b"ispe" + struct.pack(">III", 0, *size) for size in ((2000, 2000), (width_px, height_px)))
    assert actual in heic("large")
    return heic("large").replace(actual, claimed)
