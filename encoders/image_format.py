"""What an encoded image is by its first bytes, because names and claimed types lie."""

from encoders.errors import UnsupportedPicture

READABLE = "send JPEG, PNG, WebP, GIF, BMP or TIFF"

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}
_UNREAD_BRANDS = {
    b"avif": "an AVIF",
    b"avis": "an AVIF",
    b"heic": "a HEIC",
    b"heix": "a HEIC",
    b"hevc": "a HEIC",
    b"mif1": "a HEIF",
    b"msf1": "a HEIF",
    b"crx ": "a camera's raw",
}
_UNREAD_SIGNATURES = {
    b"\xff\x0a": "a JPEG XL",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "a JPEG XL",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "a JPEG 2000",
    b"8BPS": "a Photoshop",
    b"%PDF": "a PDF",
}


def format_of(data: bytes) -> str:
    """Name the format as Pillow does; raises `UnsupportedPicture`, which names the formats that are read."""
    for image_format, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise UnsupportedPicture(_what_else(data))


def _what_else(data: bytes) -> str:
    if not data:
        return "The picture is empty (0 bytes)."
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return f"This is an SVG drawing, not a picture of pixels; {READABLE}."
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<!--")):
        return f"This is a web page or XML text, not a picture; {READABLE}."
    known = _known_but_unread(data)
    if known:
        return f"This is {known} file, which is not read here; {READABLE}."
    return f"This is not a picture that can be read; {READABLE}."


def _known_but_unread(data: bytes) -> str | None:
    for signature, name in _UNREAD_SIGNATURES.items():
        if data.startswith(signature):
            return name
    return _UNREAD_BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None
