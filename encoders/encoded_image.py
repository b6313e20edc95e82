"""The bytes of an encoded image as the file that Pillow reads, with a bound on the work that reading them may cost."""

import io
from collections.abc import Callable

from encoders.errors import DecodingCancelled, UnsupportedPicture

_READS = 20_000
_BYTES_PER_READ = {"GIF": 100}
_USUAL_BYTES_PER_READ = 500


def never() -> bool:
    """For work that no caller can cancel."""
    return False


class EncodedImage(io.BytesIO):
    """A file over `data` that fails when its caller is gone, and after more reads than an honest file of its size needs.

    Pillow parses chunks, segments and blocks in Python, one or more reads for each. A file of a million empty chunks
    would hold the interpreter for seconds; an honest one has few, apart from GIF, whose blocks are of 255 bytes.
    """

    def __init__(self, data: bytes, image_format: str, is_cancelled: Callable[[], bool]) -> None:
        super().__init__(data)
        self._is_cancelled = is_cancelled
        self._reads_left = _READS + len(data) // _BYTES_PER_READ.get(image_format, _USUAL_BYTES_PER_READ)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does; raises `DecodingCancelled`, and `UnsupportedPicture` for a file of too many parts."""
        if self._is_cancelled():
            raise DecodingCancelled
        self._reads_left -= 1
        if self._reads_left < 0:
            raise UnsupportedPicture("The image consists of too many small parts; save it again with another program.")
        return super().read(size)
