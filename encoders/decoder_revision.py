"""Which decoder made the pixels that were encoded: what changes them for some images raises the number.

2: images with a colour profile are converted to sRGB.
"""

import io

from PIL import Image

DECODER_REVISION = 2

_BROKEN_HEADER = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, NotImplementedError)


def has_colour_profile(data: bytes) -> bool:
    """Whether an encoded image says with an ICC profile what its colours are; reads the header alone, and never raises."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return bool(image.info.get("icc_profile"))
    except _BROKEN_HEADER:
        return False


def decodes_alike(data: bytes, revision: int) -> bool:
    """Whether the decoder of a revision made the same pixels of these bytes as the one of now."""
    return revision >= DECODER_REVISION or not has_colour_profile(data)
