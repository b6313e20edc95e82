import random
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from encoders.errors import InvalidContent
from encoders.images.decoding import decode, probe
from encoders.images.heif_boxes import DamagedHeifError
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


def test_a_grid_of_more_tiles_than_it_shows_is_refused() -> None:
    """A phone's image is a grid of tiles; a thousand tiles as large as the whole would keep a core busy for minutes."""
    assert decode(_grid(columns=2, width_px=4000)).pixels.shape == (2000, 4000, 3)
    assert decode(_grid(columns=2, width_px=3900)).pixels.shape == (2000, 3900, 3)
    started_s = time.process_time()
    with pytest.raises(InvalidContent, match="damaged"):
        decode(_grid(columns=200, width_px=4000))
    assert time.process_time() - started_s < 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\0\2\2\x81\2", b"\0\2\2\x82\2"),  # two sizes of one item
        (b"\0\2\2\x81\2", b"\0\2\2\x81\1"),  # a tile without a size
        (b"hvc1", b"iden"),
        (b"grid", b"iovl"),
        (b"pitm", b"iinf"),
    ],
)
def test_boxes_of_unforeseen_work_are_refused(old: bytes, new: bytes) -> None:
    """What can be read in two ways, and images derived from others without a bound, are refused before libheif reads them."""
    whole = _grid(columns=2, width_px=4000)
    assert old in whole
    with pytest.raises(InvalidContent) as refused:
        decode(whole.replace(old, new, 1))
    assert isinstance(refused.value.__cause__, DamagedHeifError)


def _grid(columns: int, width_px: int) -> bytes:
    """A grid of one row, whose tiles are all the image of `large.heic`."""
    large, items = heic("large"), range(2, 2 + columns)
    coding = large[large.index(b"hvcC") - 4 :]
    coding = coding[: int.from_bytes(coding[:4])]
    pixels = large[large.index(b"mdat") + 4 :]
    layout = struct.pack(">BBBBII", 0, 1, 0, columns - 1, width_px, 2000)

    def box(kind: bytes, *content: bytes) -> bytes:
        return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)

    def full(kind: bytes, *content: bytes, version: int = 0) -> bytes:
        return box(kind, bytes((version, 0, 0, 0)), *content)

    def numbers(code: str, *values: int) -> bytes:
        return struct.pack(">" + code, *values)

    def meta(start: int) -> bytes:
        """With the layout of the grid at `start` of the file, and the pixels behind it."""
        kinds = [(1, b"grid"), *((item, b"hvc1") for item in items)]
        sizes = [full(b"ispe", numbers("II", *size)) for size in ((2000, 2000), (width_px, 2000))]
        extents = [(1, start, len(layout)), *((item, start + len(layout), len(pixels)) for item in items)]
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", numbers("H", 1)),
            full(
                b"iinf",
                numbers("H", len(kinds)),
                *(full(b"infe", numbers("HH", number, 0), kind, b"\0", version=2) for number, kind in kinds),
            ),
            full(b"iref", box(b"dimg", numbers("HH", 1, columns), *(numbers("H", item) for item in items))),
            box(
                b"iprp",
                box(b"ipco", coding, *sizes),
                full(
                    b"ipma",
                    numbers("IHBB", 1 + columns, 1, 1, 3),
                    *(numbers("HBBB", item, 2, 0x81, 2) for item in items),
                ),
            ),
            full(
                b"iloc",
                numbers("BBH", 0x44, 0, len(extents)),
                *(numbers("HHHII", number, 0, 1, offset, length) for number, offset, length in extents),
            ),
        )

    start = box(b"ftyp", b"heic\0\0\0\0mif1heic")
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", layout, pixels)
