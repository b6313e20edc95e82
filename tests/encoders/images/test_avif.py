"""AVIF files that hold more than they claim; what is honest is read in test_decoding.py."""

import struct

import pytest
from PIL import Image

from encoders.errors import InvalidContent
from encoders.images.avif import frame_sizes
from encoders.images.decoding import decode, probe
from encoders.images.heif_boxes import DamagedHeifError
from tests.support.images import corners, drawing, encoded

SIZE = struct.pack(">II", 2000, 1500)


def test_a_frame_larger_than_it_claims_is_refused() -> None:
    """A file that claims 64 pixels a side and holds 2,000 is refused before they are decoded."""
    honest = encoded(Image.new("RGB", (2000, 1500), "red"), "AVIF", speed=10)
    assert probe(honest).width_px == 2000
    for claimed in ((64, 64), (2000, 1499), (1999, 1500)):
        with pytest.raises(InvalidContent) as refused:
            decode(honest.replace(SIZE, struct.pack(">II", *claimed)))
        assert isinstance(refused.value.__cause__, DamagedHeifError)


def test_images_that_share_their_frame_are_refused() -> None:
    """Two items, colours and alpha, whose frames are the same bytes: so could a thousand tiles be."""
    honest = encoded(drawing((1000, 700)), "AVIF")
    start = honest.index(b"iloc") + 4
    assert decode(honest).pixels.shape == (700, 1000, 3)
    # Version, sizes and count; then number, file, count of extents, offset and length of each.
    colours, alpha = start + 8, start + 8 + 14
    shared = bytearray(honest)
    for entry in (colours, alpha):
        shared[entry + 6 : entry + 14] = struct.pack(">II", 0, len(honest))
    with pytest.raises(InvalidContent, match="damaged"):
        decode(bytes(shared))


def test_frame_sizes_are_read_from_any_header() -> None:
    """A short header as of still images, and one with everything that may stand before the size."""
    points = [(12, 0), (5, 9), (1, 1), (1, 1), (21, 0), (1, 1), (4, 3)]
    before = [
        *((3, 0), (1, 0), (1, 0)),
        *((1, 1), (64, 7), (1, 1), (1, 0), (1, 1), (1, 0), (1, 1), (5, 9), (42, 5)),
        *((1, 1), (5, 1), *points, *points),
    ]
    size = [(4, 10), (4, 9), (11, 1919), (10, 1023)]
    short = [(3, 0), (1, 1), (1, 1), (5, 0)]

    assert frame_sizes(_unit(before + size)) == [(1920, 1024)]
    assert frame_sizes(b"\x12\0" + _unit(short + size) + _unit(before + size)) == [(1920, 1024)] * 2
    for broken in (_unit(short), b"\x0a" + b"\xff" * 9, b"\x12\0" * 300):
        with pytest.raises(DamagedHeifError):
            frame_sizes(broken)


def test_an_animation_is_read() -> None:
    """A sequence keeps its frames in tracks."""
    data = encoded(corners(), "AVIF", save_all=True, append_images=[drawing((96, 64)).convert("RGB")])
    assert data[8:12] == b"avis"
    assert decode(data).warnings == ("only the first frame was read",)


def _unit(fields: list[tuple[int, int]]) -> bytes:
    """A sequence header of (bits, number) each."""
    bits = "".join(f"{number:0{count}b}" for count, number in fields)
    content = bytes(int(bits[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(bits), 8))
    return bytes((0x0A, len(content))) + content
