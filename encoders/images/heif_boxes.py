"""The EXIF of a HEIF file, found in its boxes without a library."""

from collections.abc import Iterator

_MAX_BOXES = 4096


def exif_in(data: bytes) -> bytes | None:
    """The EXIF of a HEIF file as a TIFF with its header, None where there is none or the file is damaged."""
    try:
        meta = next((box for kind, box in _boxes(data) if kind == b"meta"), b"")
        inside = dict(_boxes(meta[4:]))
        item = _exif_item(inside.get(b"iinf", b""))
        return None if item is None else _content(data, *_extent(inside.get(b"iloc", b""), item))
    except (ValueError, IndexError):
        return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the content of each box."""
    start = 0
    for _ in range(_MAX_BOXES):
        size, header = int.from_bytes(data[start : start + 4]), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16]), 16
        elif size == 0:
            size = len(data) - start
        if size < header or start + size > len(data):
            return
        yield data[start + 4 : start + 8], data[start + header : start + size]
        start += size


def _exif_item(iinf: bytes) -> int | None:
    """The number of the item that holds EXIF."""
    for kind, entry in _boxes(iinf[6 if iinf[:1] == b"\0" else 8 :]):
        wide = 4 if entry[:1] == b"\3" else 2
        if kind == b"infe" and entry[4 + wide + 2 : 4 + wide + 6] == b"Exif":
            return int.from_bytes(entry[4 : 4 + wide])
    return None


def _extent(iloc: bytes, item: int) -> tuple[int, int]:
    """Where an item lies in the file, and its length; ValueError where it is not in one piece of the file."""
    reader = _Reader(iloc)
    version, _, sizes = reader.number(1), reader.number(3), reader.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(reader.number(4 if version == 2 else 2), _MAX_BOXES)):
        number = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else 0
        reader.number(2)  # which file: this one
        base, extents = reader.number(base_size), reader.number(2)
        if number != item:
            reader.skip(extents * ((index_size if version else 0) + offset_size + length_size))
            continue
        if method or extents != 1:
            break
        reader.number(index_size if version else 0)
        return base + reader.number(offset_size), reader.number(length_size)
    raise ValueError("the item is not in one piece of this file")


def _content(data: bytes, start: int, length: int) -> bytes | None:
    """The item without the number in front of it, which says where the TIFF header is."""
    header = 4 + int.from_bytes(data[start : start + 4])
    return data[start + header : start + length] or None


class _Reader:
    """Reads numbers one after the other; IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def number(self, size: int) -> int:
        self.skip(size)
        return int.from_bytes(self._data[self._next - size : self._next])

    def skip(self, size: int) -> None:
        self._next += size
        if self._next > len(self._data):
            raise IndexError("the box ends too early")
