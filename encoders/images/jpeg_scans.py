"""How a JPEG is coded, which decides what decoding it costs: read from its markers, before a pixel is decoded."""

import re
from collections.abc import Iterator
from enum import StrEnum

from encoders.errors import UnsupportedImage

MAX_SCANS = 200

# 0xff00 is a byte of pixels, 0xff a filler before a marker, and restart markers have no content.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_MAX_SEGMENTS = 5000
_LOSSLESS_FRAMES = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


class JpegCoding(StrEnum):
    """How the pixels of a JPEG are coded, in words for the caller."""

    BASELINE = "JPEG"
    PROGRESSIVE = "progressive JPEG"
    SEVERAL_SCANS = "JPEG of several scans"
    LOSSLESS = "lossless JPEG"

    @property
    def keeps_coefficients(self) -> bool:
        """Whether the decoder holds the coefficients of the whole image until its last scan."""
        return self in {JpegCoding.PROGRESSIVE, JpegCoding.SEVERAL_SCANS}


def coding_of(data: bytes) -> JpegCoding:
    """Read how a JPEG with a sound header is coded; raises `UnsupportedImage` for one of absurdly many scans or parts.

    Each scan of a progressive JPEG takes a pass over all coefficients and as few as a hundred bytes.
    """
    coding, channels, scans = JpegCoding.BASELINE, 0, 0
    for marker, position in _segments(data):
        if marker in _FRAMES:
            channels = data[position + 7] if position + 7 < len(data) else 0
            if marker in _LOSSLESS_FRAMES:
                return JpegCoding.LOSSLESS
            if marker in _PROGRESSIVE_FRAMES:
                coding = JpegCoding.PROGRESSIVE
        elif marker == _SCAN:
            scans += 1
            if coding is JpegCoding.BASELINE:
                # libjpeg looks at the first scan alone: where it lacks a channel, others have to follow.
                lacks_channels = position + 2 < len(data) and data[position + 2] < channels
                if not lacks_channels:
                    return coding
                coding = JpegCoding.SEVERAL_SCANS
            if scans > MAX_SCANS:
                raise UnsupportedImage(
                    f"The {coding} has more than {MAX_SCANS} scans; save it again as a baseline JPEG."
                )
    return coding


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The marker of each segment up to the end of the image, and where its length stands."""
    position = 0
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if match is None or match[1][0] == _END:
            return
        yield match[1][0], match.end()
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2])
    raise UnsupportedImage("The JPEG consists of too many small parts; save it again with another program.")
