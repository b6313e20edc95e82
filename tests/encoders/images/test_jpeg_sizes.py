"""Large JPEGs: which are decoded, at what size, and which are refused."""

import pytest
from PIL import Image

from encoders.errors import InvalidContent
from encoders.images.decoding import decode, open_image
from encoders.images.jpeg_scans import MAX_SCANS, JpegCoding, coding_of
from tests.support.images import encoded

HEADER = b"\xff\xd8\xff\xe0\0\2"
FRAME = b"\0\x11\x08\0\x08\0\x08\3" + bytes(9)  # three channels
SCAN_OF_ONE, SCAN_OF_ALL = b"\xff\xda\0\x08\1\0\0\0\0\0", b"\xff\xda\0\x0c\3" + bytes(9)


def _plain(width_px: int, height_px: int, **options: object) -> bytes:
    return encoded(Image.new("RGB", (width_px, height_px), "red"), "JPEG", **options)


def test_a_photo_of_108_megapixels_is_decoded_at_a_fraction() -> None:
    """A baseline JPEG is taken whatever a phone makes, and never decoded to more than 32 megapixels."""
    data = _plain(12_000, 9_000)

    assert decode(data, enough_px=(224, 224)).pixels.shape == (1125, 1500, 3)
    whole = decode(data)
    assert whole.pixels.shape == (4500, 6000, 3)
    assert (whole.width_px, whole.height_px) == (12_000, 9_000)
    assert whole.pixels[10, 10].tolist() == [254, 0, 0]


def test_a_progressive_jpeg_is_decoded_up_to_60_megapixels() -> None:
    """A progressive JPEG costs memory for every pixel; one beyond the limit is refused by name."""
    opened = open_image(_plain(9_000, 6_000, progressive=True))

    assert opened.decode_bytes(enough_px=(224, 224)) > 54_000_000 * 6
    assert opened.decode(enough_px=(224, 224)).pixels.shape == (750, 1125, 3)
    with pytest.raises(InvalidContent, match="progressive JPEG of 80 megapixels; the limit is 60"):
        decode(_plain(10_000, 8_000, progressive=True))


def test_a_jpeg_beyond_250_megapixels_is_refused_by_name() -> None:
    """What no camera makes is refused from the header."""
    with pytest.raises(InvalidContent, match="JPEG of 256 megapixels; the limit is 250"):
        decode(_plain(16_000, 15_940))


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (HEADER + b"\xff\xc0" + FRAME + SCAN_OF_ALL, JpegCoding.BASELINE),
        (HEADER + b"\xff\xff\xff\xc9" + FRAME + SCAN_OF_ALL, JpegCoding.BASELINE),
        (HEADER + b"\xff\xc0" + FRAME + SCAN_OF_ONE, JpegCoding.SEVERAL_SCANS),
        (HEADER + b"\xff\xc2" + FRAME + SCAN_OF_ALL, JpegCoding.PROGRESSIVE),
        (HEADER + b"\xff\xc3" + FRAME + SCAN_OF_ALL, JpegCoding.LOSSLESS),
        (HEADER + b"\xff\xe1\0\x06\xff\xc2\xff\xda\xff\xc0" + FRAME + SCAN_OF_ALL, JpegCoding.BASELINE),
    ],
)
def test_the_coding_is_read_from_the_markers(data: bytes, coding: JpegCoding) -> None:
    """A JPEG with a scan for each channel holds all coefficients like a progressive one, though it is baseline."""
    assert coding_of(data) is coding


def test_many_scans_are_refused() -> None:
    """A small file of thousands of scans would keep a core busy for minutes."""
    progressive = HEADER + b"\xff\xc2" + FRAME
    assert coding_of(progressive + SCAN_OF_ONE * MAX_SCANS) is JpegCoding.PROGRESSIVE
    with pytest.raises(InvalidContent, match=f"more than {MAX_SCANS} scans"):
        coding_of(progressive + SCAN_OF_ONE * (MAX_SCANS + 1))
    with pytest.raises(InvalidContent, match="too many small parts"):
        coding_of(progressive + b"\xff\xfe\0\2" * 10_000)


def test_fill_bytes_are_passed_over_in_no_time() -> None:
    """A megabyte of fill bytes that leads nowhere costs one pass."""
    assert coding_of(HEADER + (b"\xff" * 2_000_000 + b"\0") + b"\xff\xc2" + FRAME) is JpegCoding.PROGRESSIVE
