"""JPEGs that break off: one that only lacks its end marker is complete, one that lacks pixels is not."""

import hashlib
from collections.abc import Callable

from PIL import Image

_END = b"\xff\xd9"
# Bytes that mean something to the decoder while it still lacks pixels, and nothing once it has them all. They repeat
# nothing: a pattern of one byte can decode to what no byte at all decodes to.
_FILLERS = (b"", bytes(range(1, 200)), bytes(range(199, 0, -1)))
_ROWS = 64


def load_without_end(data: bytes, open_jpeg: Callable[[bytes], Image.Image]) -> Image.Image | None:
    """Load a JPEG that ended too early; None where pixels are missing.

    libjpeg makes up what is missing, and its warning does not reach Python. So the file is completed in several ways:
    all of them decode to the same pixels only where none was missing.
    """
    # A last 0xff is half of a marker, or a byte of pixels whose other half is missing.
    data = data.rstrip(b"\xff")
    digests = set()
    for filler in _FILLERS:
        image = open_jpeg(data + filler + _END)
        image.load()
        digests.add(_digest(image))
    return image if len(digests) == 1 else None


def _digest(image: Image.Image) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    width_px, height_px = image.size
    for top in range(0, height_px, _ROWS):
        digest.update(image.crop((0, top, width_px, min(top + _ROWS, height_px))).tobytes())
    return digest.digest()
