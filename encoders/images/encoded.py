"""The bytes of an encoded image: which format they are, and the file that Pillow reads them from."""

import io
from collections.abc import Callable

from encoders.errors import DecodingCancelled, UnsupportedImage

READABLE = "send JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}
# Brands of a file that begins with an `ftyp` box; the structural ones say nothing of the codec.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_STRUCTURAL_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
_MAX_BRANDS_BYTES = 256
_UNREAD_SIGNATURES = {
    b"\xff\x0a": "a JPEG XL",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "a JPEG XL",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "a JPEG 2000",
    b"8BPS": "a Photoshop",
    b"%PDF": "a PDF",
}
_READS = 20_000
_BYTES_PER_READ = {"GIF": 100}
_USUAL_BYTES_PER_READ = 500


def never() -> bool:
    """For work that no caller can cancel."""
    return False


class EncodedImage(io.BytesIO):
    """A file over `data` that fails when its caller has left, and after more reads than an honest file of its size needs.

    Pillow parses chunks, segments and blocks in Python, with one or more reads for each. A file of a million empty
    chunks would hold the interpreter for seconds; an honest one has few, apart from GIF, whose blocks have 255 bytes.
    """

    def __init__(self, data: bytes, image_format: str, is_cancelled: Callable[[], bool]) -> None:
        super().__init__(data)
        self._is_cancelled = is_cancelled
        self._reads_left = _READS + len(data) // _BYTES_PER_READ.get(image_format, _USUAL_BYTES_PER_READ)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does; raises `DecodingCancelled`, and `UnsupportedImage` for a file of too many parts."""
        if self._is_cancelled():
            raise DecodingCancelled
        self._reads_left -= 1
        if self._reads_left < 0:
            raise UnsupportedImage("The image consists of too many small parts; save it again with another program.")
        return super().read(size)


def format_of(data: bytes) -> str:
    """Name the format as Pillow does, from the first bytes, because names and declared types are often wrong.

    Raises `UnsupportedImage`, which names the formats that are read.
    """
    for image_format, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and (branded := _format_of_brands(data)):
        return branded
    raise UnsupportedImage(f"{_what_else(data)}; {READABLE}." if data else "The image is empty (0 bytes).")


def _format_of_brands(data: bytes) -> str | None:
    major, end = data[8:12], min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
    brands = {major}
    if major in _STRUCTURAL_BRANDS:
        brands |= {data[start : start + 4] for start in range(16, end, 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & (_HEIF_BRANDS | _STRUCTURAL_BRANDS) else None


def _what_else(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "This is an SVG drawing, not an image of pixels"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<!--")):
        return "This is a web page or XML text, not an image"
    known = next((name for signature, name in _UNREAD_SIGNATURES.items() if data.startswith(signature)), None)
    if data[4:12] == b"ftypcrx ":
        known = "a camera's raw"
    return f"This is {known} file, which is not read here" if known else "This is not an image that can be read"
