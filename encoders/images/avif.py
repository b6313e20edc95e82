"""AVIF images, decoded by libavif, which Pillow contains: refused first where they hold more than they claim.

libavif decodes whatever its AV1 frames hold and scales it to what the file claims: a small file of a thousand tiles of
64 pixels may hold as many frames of 268 megapixels. The frames' own headers tell.
"""

from typing import IO

from PIL import AvifImagePlugin, Image

from encoders.images.heif_boxes import DamagedHeifError, HeifItems, check_work, items_of

_MAX_UNITS = 256
_SEQUENCE_HEADER = 1


def open_avif(file: IO[bytes]) -> Image.Image:
    """Open an AVIF file; of a sequence, libavif decodes a single frame, so its items do not matter."""
    data = file.read()
    file.seek(0)
    if data[8:12] != b"avis":
        items = items_of(data)
        check_work(items)
        _check_frames(data, items)
    return AvifImagePlugin.AvifImageFile(file)


def _check_frames(data: bytes, items: HeifItems) -> None:
    """Raise `DamagedHeifError` for a frame that is larger than its item claims, or that is shared by several items."""
    coded = [number for number, kind in items.kinds.items() if kind == b"av01"]
    parts = [part for number in coded for part in items.extents.get(number, ())]
    if not items.extents.keys() >= set(coded) or sum(length for _, length in parts) > len(data):
        raise DamagedHeifError("a frame that is not in the file itself, or is in it more than once")
    for number in coded:
        unit = b"".join(data[start : start + length] for start, length in items.extents[number])
        width_px, height_px = items.sizes.get(number, (0, 0))
        sizes = frame_sizes(unit)
        if not sizes or any(width > width_px or height > height_px for width, height in sizes):
            raise DamagedHeifError("a frame that is larger than it claims")


def frame_sizes(units: bytes) -> list[tuple[int, int]]:
    """The largest (width, height) of a frame by each sequence header among the units of AV1; raises `DamagedHeifError`."""
    sizes: list[tuple[int, int]] = []
    start = 0
    for _ in range(_MAX_UNITS):
        if start >= len(units):
            return sizes
        header = units[start]
        start += 2 if header & 4 else 1
        size = len(units) - start
        if header & 2:
            size, start = _leb128(units, start)
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            sizes.append(_frame_size(_Bits(units[start : start + size])))
        start += size
    raise DamagedHeifError("too many units in a frame")


def _leb128(data: bytes, start: int) -> tuple[int, int]:
    """A number in groups of 7 bits, and where it ends."""
    value = 0
    for position in range(8):
        byte = data[start + position] if start + position < len(data) else 0
        value |= (byte & 127) << 7 * position
        if byte < 128:
            return value, start + position + 1
    raise DamagedHeifError("a number without an end")


def _frame_size(bits: "_Bits") -> tuple[int, int]:
    """The largest frame of a sequence header, by section 5.5.1 of the AV1 specification."""
    bits.number(3)  # profile
    bits.number(1)  # still image
    if bits.number(1):  # reduced header
        bits.number(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.number(4) + 1, bits.number(4) + 1
    return bits.number(width_bits) + 1, bits.number(height_bits) + 1


def _skip_operating_points(bits: "_Bits") -> None:
    delay_bits = 0
    if bits.number(1):  # timing
        bits.number(64)
        if bits.number(1):
            bits.exponential()
        if bits.number(1):  # decoder model
            delay_bits = bits.number(5) + 1
            bits.number(32 + 5 + 5)
    has_display_delay = bits.number(1)
    for _ in range(bits.number(5) + 1):
        bits.number(12)
        if bits.number(5) > 7:
            bits.number(1)
        if delay_bits and bits.number(1):
            bits.number(2 * delay_bits + 1)
        if has_display_delay and bits.number(1):
            bits.number(4)


class _Bits:
    """Reads numbers of some bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        # No header that is honest is longer.
        self._bits = "".join(f"{byte:08b}" for byte in data[:256])
        self._next = 0

    def number(self, count: int) -> int:
        self._next += count
        if self._next > len(self._bits):
            raise DamagedHeifError("a sequence header is cut off")
        return int(self._bits[self._next - count : self._next], 2)

    def exponential(self) -> int:
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)
