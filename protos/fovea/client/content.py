"""Images as callers have them: encoded bytes, paths, arrays and Pillow's images, all made bytes for the wire."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

_PNG_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB and RGBA, by the number of channels
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}


class PillowImage(Protocol):
    """What is used of `PIL.Image.Image`, so that Pillow is not needed where it is not used."""

    @property
    def mode(self) -> str:
        """The kind of its pixels, for example RGB."""

    def convert(self, mode: str) -> Any:
        """The same image with other pixels."""

    def getexif(self) -> Any:
        """Its EXIF tags, which say how it is turned."""

    def save(self, fp: IO[bytes], format: str, **options: Any) -> None:
        """Write it encoded."""


ImageContent: TypeAlias = bytes | str | os.PathLike[str] | npt.NDArray[np.uint8] | PillowImage
"""An encoded image, the path of one, pixels as uint8 (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, or an image of Pillow."""


def image_bytes(content: ImageContent) -> bytes:
    """The encoded image: files as they are, pixels as PNG. OSError for a file that cannot be read, ValueError for pixels."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, (str, os.PathLike)):
        return Path(content).read_bytes()
    if isinstance(content, np.ndarray):
        return _png(content)
    image = content if content.mode in _PNG_MODES else content.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=content.getexif(), compress_level=1)
    return buffer.getvalue()


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3} or channels not in _PNG_COLOUR_TYPES or not pixels.size:
        message = f"pixels are uint8 of shape (H, W), (H, W, 3) or (H, W, 4), not {pixels.dtype} {pixels.shape}"
        raise ValueError(message)
    height_px, width_px = pixels.shape[:2]
    rows = np.zeros((height_px, 1 + width_px * channels), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(height_px, -1)
    header = struct.pack(">2I5B", width_px, height_px, 8, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
