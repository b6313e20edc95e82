"""HEIC and other HEIF images, decoded by libheif and libde265, which pi-heif's wheels contain."""

import ctypes
from pathlib import Path
from typing import Any

import _pi_heif
from PIL import ImageFile

from encoders.images.heif_boxes import check_work, exif_in, items_of

_THREADS = 4  # decode the tiles of one image
# Where libheif's own limits are too high for a server. What they count is in its `heif_security.h`: bytes from the start of
# `heif_security_limits`, and the limit, an integer of 64 bits.
_LIMITS = (
    (8, 64_000_000),  # pixels of an image or a tile: 50 megapixels, padded to whole blocks
    (16, 4096),  # tiles of a grid
    (40, 512 << 20),  # bytes of one block of memory
    (64, 1 << 30),  # bytes of memory for one file
)
_LIMITS_VERSION = 4


class HeifImageFile(ImageFile.ImageFile):
    """The primary image of a HEIF file, upright: libheif turns it.

    pi-heif's own plugin reads all metadata of a file, and ends the process where the kind of one is not UTF-8.
    """

    format = "HEIF"
    format_description = "HEIF container"

    def _open(self) -> None:
        assert self.fp is not None, "Pillow opens a file"
        data = self.fp.read()
        items = items_of(data)
        check_work(items)
        images = _pi_heif.load_file(data, _THREADS, True, False, False, True, "", False)
        present = [image for image in images if image is not None]
        self._encoded: Any = next((image for image in present if image.primary), present[0])
        self._size, self._mode = self._encoded.size_mode
        self.n_frames = len(present)
        self.is_animated = self.n_frames > 1
        self.info["bit_depth"] = self._encoded.bit_depth
        profile = self._encoded.color_profile
        if profile and profile["type"] in {"rICC", "prof"}:
            self.info["icc_profile"] = profile["data"]
        if exif := exif_in(data, items):
            self.info["exif"] = exif

    def load(self) -> Any:
        """Decode the image, once."""
        if self._encoded is not None:
            encoded, self._encoded = self._encoded, None
            self.load_prepare()
            self.frombytes(encoded.data, "raw", (self.mode, encoded.stride))
        return super().load()


def _limit_libheif() -> None:
    """Lower the limits that libheif gives to every file that it opens."""
    folder = Path(_pi_heif.__file__).parent
    # In wheels for Linux and for macOS; a libheif of the system keeps its own limits.
    for path in (*folder.glob("pi_heif.libs/libheif*"), *folder.glob("pi_heif/.dylibs/libheif*")):
        libheif = ctypes.CDLL(str(path))
        libheif.heif_get_global_security_limits.restype = ctypes.c_void_p
        address = libheif.heif_get_global_security_limits()
        if ctypes.c_uint8.from_address(address).value == _LIMITS_VERSION:
            for offset, limit in _LIMITS:
                ctypes.c_uint64.from_address(address + offset).value = limit


_limit_libheif()
