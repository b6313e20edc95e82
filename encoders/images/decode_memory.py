"""The memory that decoding an image needs at its peak, known from its header, and the budget that all decoding shares."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image

from encoders.errors import DecodingCancelled
from encoders.images.encoded import never

_RESULT_BYTES = 3  # upright RGB, beside the decoded image
_PILLOW_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_USUAL_PILLOW_BYTES = 4  # Pillow keeps RGB as it keeps RGBA
# What the decoding library itself holds for each stored pixel: two canvases for an animation, whole strips for TIFF.
_LIBRARY_BYTES = {"WEBP": 12, "TIFF": 9, "GIF": 4, "HEIF": 6, "AVIF": 10}
_DEEP_HEIF_BYTES = 11  # planes and colours of 16 bits each, while they are converted to 8
_ALPHA_BYTES = 4
_COEFFICIENT_BYTES = 2  # of each channel and pixel
_FIXED_BYTES = 8 << 20  # strips on their way through the conversions
_CHECK_PERIOD_S = 0.05


def decode_bytes(image: Image.Image, stored_size: tuple[int, int], *, keeps_coefficients: bool = False) -> int:
    """The most bytes that decoding needs beside the encoded data; `image.size` may be a fraction of `stored_size`.

    `keeps_coefficients` is for a JPEG whose decoder holds those of the whole image.
    """
    decoded_px = image.size[0] * image.size[1]
    stored_px = stored_size[0] * stored_size[1]
    library_bytes = _LIBRARY_BYTES.get(image.format or "", 0)
    if keeps_coefficients:
        library_bytes = _COEFFICIENT_BYTES * len(image.getbands())
    if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
        library_bytes = _DEEP_HEIF_BYTES
    if image.format in {"HEIF", "AVIF"} and image.mode.endswith("A"):
        library_bytes += _ALPHA_BYTES
    pillow_bytes = _PILLOW_BYTES.get(image.mode, _USUAL_PILLOW_BYTES)
    # The library has freed its own memory before the result is made.
    return _FIXED_BYTES + decoded_px * pillow_bytes + max(decoded_px * _RESULT_BYTES, stored_px * library_bytes)


class DecodeBudget:
    """Bytes that decoded images may use at once; an image larger than the whole budget is decoded alone.

    `free_bytes` are not reserved now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.free_bytes = max_bytes
        self._freed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def reserve(self, size: int, timeout_s: float, is_cancelled: Callable[[], bool] = never) -> Iterator[None]:
        """Hold `size` bytes inside the block; TimeoutError when they do not become free, `DecodingCancelled` when asked."""
        size = min(size, self._max_bytes)
        self._acquire(size, time.monotonic() + timeout_s, is_cancelled)
        try:
            yield
        finally:
            with self._freed:
                self.free_bytes += size
                self._freed.notify_all()

    def _acquire(self, size: int, ends_s: float, is_cancelled: Callable[[], bool]) -> None:
        ticket = object()
        with self._freed:
            # First come, first served: otherwise small images could keep a large one waiting for ever.
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self.free_bytes < size:
                    if is_cancelled():
                        raise DecodingCancelled
                    left_s = ends_s - time.monotonic()
                    if left_s <= 0:
                        raise TimeoutError
                    # In short steps, because a caller that leaves notifies nobody.
                    self._freed.wait(min(left_s, _CHECK_PERIOD_S))
                self.free_bytes -= size
            finally:
                self._waiting.remove(ticket)
                self._freed.notify_all()
