"""EXIF from untrusted images: date, camera, lens and location, checked and bounded; what is broken counts as absent."""

import contextlib
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from domain.exif import NO_EXIF, Exif
from encoders.images.pixels import BROKEN_EXIF

MAX_EXIF_BYTES = 256 << 10
_MAX_CHARACTERS = 128
_DATE = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d:\d\d:\d\d)", re.ASCII)
_FIRST_YEAR = 1826  # of the oldest photo that survives


def exif_of(image: Image.Image) -> Exif:
    """What the camera wrote into an opened image; its pixels stay encoded."""
    if image.format != "TIFF" and not 0 < len(image.info.get("exif") or b"") <= MAX_EXIF_BYTES:
        return NO_EXIF
    try:
        main = image.getexif()
        details, location = main.get_ifd(ExifTags.IFD.Exif), main.get_ifd(ExifTags.IFD.GPSInfo)
        latitude = _degrees(location, ExifTags.GPS.GPSLatitude, most=90)
        longitude = _degrees(location, ExifTags.GPS.GPSLongitude, most=180)
        is_located = latitude is not None and longitude is not None
        return Exif(
            taken=_date(details, ExifTags.Base.DateTimeOriginal) or _date(details, ExifTags.Base.DateTimeDigitized),
            camera=_camera(_text(main, ExifTags.Base.Make), _text(main, ExifTags.Base.Model)),
            lens=_text(details, ExifTags.Base.LensModel),
            latitude=latitude if is_located else None,
            longitude=longitude if is_located else None,
        )
    except BROKEN_EXIF:
        return NO_EXIF


def _text(tags: Mapping[int, Any], tag: int) -> str | None:
    """A text without control characters, at most 128 characters in composed form."""
    value = tags.get(tag)
    if not isinstance(value, str):
        return None
    value = value.split("\0")[0]
    with contextlib.suppress(UnicodeError):  # Pillow takes the bytes for Latin-1, many cameras write UTF-8
        value = value.encode("latin-1").decode()
    printable = "".join(each if each.isprintable() else " " for each in value)
    return unicodedata.normalize("NFC", " ".join(printable.split()))[:_MAX_CHARACTERS].strip() or None


def _date(tags: Mapping[int, Any], tag: int) -> str | None:
    """The camera's local time; cameras whose clock was never set write zeros."""
    match = _DATE.fullmatch(_text(tags, tag) or "")
    if match is None:
        return None
    year, month, day, time = match.groups()
    try:
        date = datetime.fromisoformat(f"{year}-{month}-{day}T{time}")
    except ValueError:
        return None
    return date.isoformat() if date.year >= _FIRST_YEAR else None


def _camera(make: str | None, model: str | None) -> str | None:
    """The model with its make in front, unless the model names it: "Apple iPhone 15", "Canon EOS R5"."""
    if make is None or model is None:
        return model or make
    is_named = model.casefold().startswith(make.split()[0].casefold())
    return (model if is_named else f"{make} {model}")[:_MAX_CHARACTERS].strip()


def _degrees(tags: Mapping[int, Any], tag: int, most: float) -> float | None:
    """Degrees from degrees, minutes and seconds; the tag before says the half of the globe."""
    parts, half = tags.get(tag), tags.get(tag - 1)
    if not isinstance(parts, tuple) or len(parts) != 3 or half not in {"N", "S", "E", "W"}:
        return None
    degrees, minutes, seconds = map(float, parts)
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value) or not 0 <= value <= most:
        return None
    return round(-value if half in {"S", "W"} else value, 6)
