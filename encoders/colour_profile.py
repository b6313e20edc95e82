"""Embedded ICC profiles: what a camera, an editor or a press stored is brought to sRGB, as viewers show it."""

import functools
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 << 20

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_UNNOTICEABLE = 2  # levels of 255
_LATTICE = np.stack(np.meshgrid(*[np.linspace(0, 255, 9, dtype=np.uint8)] * 3, indexing="ij"), axis=-1).reshape(
    27, 27, 3
)


@dataclass(frozen=True, slots=True)
class ToSrgb:
    """The way from one profile to sRGB, for images of `mode` (RGB, L or CMYK)."""

    mode: str
    _transform: ImageCms.ImageCmsTransform

    def apply(self, image: Image.Image) -> Image.Image:
        """Convert an image of `mode` to sRGB; threads may share one transform."""
        return self._transform.apply(image)


@functools.lru_cache(maxsize=16)
def to_srgb(profile: bytes) -> ToSrgb | None:
    """The conversion that a profile asks for; None for sRGB itself, and for a profile that is broken or too large.

    Kept for the last few profiles: building one takes as long as converting a megapixel, and a collection has few.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space)
        if mode is None:
            return None
        target = ImageCms.createProfile("sRGB")
        found = ToSrgb(mode, ImageCms.ImageCmsTransform(source, ImageCms.ImageCmsProfile(target), mode, "RGB"))
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
    return None if _changes_nothing(found) else found


def _changes_nothing(conversion: ToSrgb) -> bool:
    """Whether the profile is sRGB, whatever it calls itself: most are, and need no conversion."""
    if conversion.mode == "CMYK":
        return False
    image = Image.fromarray(_LATTICE).convert(conversion.mode)
    before = np.asarray(image.convert("RGB"), dtype=np.int16)
    return bool(np.abs(np.asarray(conversion.apply(image)) - before).max() <= _UNNOTICEABLE)
