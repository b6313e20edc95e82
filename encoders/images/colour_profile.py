"""Embedded ICC profiles: colours that a camera, an editor or a press stored are converted to sRGB, as viewers show them."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 << 20

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_UNNOTICEABLE = 2  # levels of 255
_LEVELS = np.linspace(0, 255, 9, dtype=np.uint8)
_LATTICE = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(27, 27, 3)


@functools.lru_cache(maxsize=16)
def to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """The conversion that a profile asks for; None for sRGB itself, and for a profile that is broken or too large.

    It applies to images of its `input_mode` (RGB, L or CMYK), and threads may share it. The last few are kept: building
    one takes as long as converting a megapixel, and a collection has few profiles.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space)
        if mode is None:
            return None
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        conversion = ImageCms.ImageCmsTransform(source, target, mode, "RGB")
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
    return None if _changes_nothing(conversion) else conversion


def _changes_nothing(conversion: ImageCms.ImageCmsTransform) -> bool:
    """Whether the profile is sRGB, under any name: most are, and need no conversion."""
    if conversion.input_mode == "CMYK":
        return False
    image = Image.fromarray(_LATTICE).convert(conversion.input_mode)
    before = np.asarray(image.convert("RGB"), dtype=np.int16)
    return bool(np.abs(np.asarray(conversion.apply(image)) - before).max() <= _UNNOTICEABLE)
