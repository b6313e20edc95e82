"""Which decoder made the pixels that were encoded: what changes them for some images raises the number.

2: images with a colour profile are converted to sRGB.
"""

from encoders.errors import InvalidContent
from encoders.image import probe

DECODER_REVISION = 2


def has_colour_profile(data: bytes) -> bool:
    """Whether an encoded image says with an ICC profile what its colours are; reads the header alone, and never raises."""
    try:
        return probe(data).has_colour_profile
    except InvalidContent:
        return False


def decodes_alike(data: bytes, revision: int) -> bool:
    """Whether the decoder of a revision made the same pixels of these bytes as the one of now."""
    return revision >= DECODER_REVISION or not has_colour_profile(data)
