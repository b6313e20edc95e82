"""The boxes of a HEIF or AVIF file, read without a library: what its images are made of, and its EXIF.

libheif bounds the pixels of each image of a file, but not how many a grid is made of: a file of some kilobytes may
hold a thousand tiles, each as large as the whole, and decoding cannot be cancelled. So such files are refused first.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

_MAX_BOXES = 4096
_MAX_EXTENTS = 32
_DERIVED = frozenset({b"grid", b"iden", b"iovl", b"tmap"})
_UNBOUNDED = _DERIVED - {b"grid"}
_Size = tuple[int, int]
_T = TypeVar("_T")


class DamagedHeifError(ValueError):
    """The boxes do not fit together, are ambiguous, or describe more work than the image is worth."""


@dataclass(frozen=True, slots=True)
class HeifItems:
    """The items of a file by number: kinds, sizes (width, height), and references as (kind, from, to)."""

    primary: int
    kinds: dict[int, bytes]
    sizes: dict[int, _Size]
    references: tuple[tuple[bytes, int, tuple[int, ...]], ...]
    extents: dict[int, list[tuple[int, int]]]


def items_of(data: bytes) -> HeifItems:
    """Read the items of a file; raises `DamagedHeifError`."""
    try:
        meta = _once(_children(_once(_children(memoryview(data)))[b"meta"][4:]))
        properties = _once(_children(meta[b"iprp"]))
        return HeifItems(
            primary=_Reader(meta[b"pitm"]).versioned(),
            kinds=_kinds(meta[b"iinf"]),
            sizes=_sizes(list(_children(properties[b"ipco"])), properties[b"ipma"]),
            references=tuple(_references(meta.get(b"iref", memoryview(bytes(4))))),
            extents=_extents(meta[b"iloc"]),
        )
    except (KeyError, IndexError, struct.error) as error:
        raise DamagedHeifError("a box is missing or cut off") from error


def check_work(items: HeifItems) -> None:
    """Raise `DamagedHeifError` where decoding takes more than the pixels of the image."""
    auxiliary = [number for kind, number, _ in items.references if kind == b"auxl"]
    for number in (items.primary, *auxiliary):
        if items.kinds.get(number) in _UNBOUNDED:
            raise DamagedHeifError("an image that is derived from others")
    for kind, number, tiles in items.references:
        if kind == b"dimg" and items.kinds.get(number) == b"grid":
            _check_grid(items, number, tiles)


def exif_in(data: bytes, items: HeifItems) -> bytes | None:
    """The EXIF as a TIFF with its header, None where there is none, or not in one piece."""
    number = next((number for number, kind in items.kinds.items() if kind == b"Exif"), None)
    if number is None or len(items.extents.get(number, ())) != 1:
        return None
    [(start, length)] = items.extents[number]
    # The number in front says where the TIFF header is.
    header = 4 + int.from_bytes(data[start : start + 4])
    return data[start + header : start + length] or None


def _check_grid(items: HeifItems, number: int, tiles: tuple[int, ...]) -> None:
    if any(items.kinds.get(tile) in _DERIVED for tile in tiles):
        raise DamagedHeifError("a grid of grids")
    if not {number, *tiles} <= items.sizes.keys():
        raise DamagedHeifError("a grid or a tile without a size")
    width_px, height_px = items.sizes[number]
    for tile_width_px, tile_height_px in {items.sizes[tile] for tile in tiles}:
        # The tiles in the last column and row may reach beyond the image.
        covered_px = (width_px + tile_width_px) * (height_px + tile_height_px)
        if len(tiles) * tile_width_px * tile_height_px > covered_px:
            raise DamagedHeifError("a grid of more tiles than it shows")


def _children(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and the content of each box; nothing is copied, since one of them holds the whole image."""
    start = 0
    for _ in range(_MAX_BOXES):
        size, header = int.from_bytes(data[start : start + 4]), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16]), 16
        elif size == 0:
            size = len(data) - start
        if size < header or start + size > len(data):
            return
        yield bytes(data[start + 4 : start + 8]), data[start + header : start + size]
        start += size


def _once(boxes: Iterator[tuple[bytes, memoryview]]) -> dict[bytes, memoryview]:
    """The boxes by kind; of those that are read here there may be one of a kind, so that no reader takes another."""
    found: dict[bytes, memoryview] = {}
    for kind, content in boxes:
        if kind in found and kind in {b"meta", b"pitm", b"iinf", b"iloc", b"iref", b"iprp", b"ipco", b"ipma"}:
            raise DamagedHeifError(f"two boxes {kind!r}")
        found[kind] = content
    return found


def _kinds(iinf: memoryview) -> dict[int, bytes]:
    kinds: dict[int, bytes] = {}
    for kind, entry in _children(iinf[6 if iinf[0] == 0 else 8 :]):
        if kind != b"infe" or entry[0] < 2:
            continue
        reader = _Reader(entry)
        number = reader.versioned(wide_from=3)
        reader.number(2)
        _add(kinds, number, bytes(reader.take(4)))
    return kinds


def _sizes(properties: list[tuple[bytes, memoryview]], ipma: memoryview) -> dict[int, _Size]:
    sizes: dict[int, _Size] = {}
    reader = _Reader(ipma)
    wide, large = reader.number(1) >= 1, reader.number(3) & 1
    for _ in range(min(reader.number(4), _MAX_BOXES)):
        number = reader.number(4 if wide else 2)
        for _ in range(reader.number(1)):
            position = reader.number(2 if large else 1) & (0x7FFF if large else 0x7F)
            if position and properties[position - 1][0] == b"ispe":
                _add(sizes, number, struct.unpack_from(">II", properties[position - 1][1], 4))
    return sizes


def _references(iref: memoryview) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    size = 4 if iref[0] else 2
    for kind, content in _children(iref[4:]):
        reader = _Reader(content)
        number = reader.number(size)
        yield kind, number, tuple(reader.number(size) for _ in range(min(reader.number(2), _MAX_BOXES)))


def _extents(iloc: memoryview) -> dict[int, list[tuple[int, int]]]:
    """Where the parts of each item lie in the file, and their lengths; without items that are stored in other ways."""
    extents: dict[int, list[tuple[int, int]]] = {}
    reader = _Reader(iloc)
    version, _, sizes = reader.number(1), reader.number(3), reader.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_size = index_size if version else 0
    for _ in range(min(reader.number(4 if version == 2 else 2), _MAX_BOXES)):
        number = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else 0
        reader.number(2)  # which file: this one
        base, count = reader.number(base_size), reader.number(2)
        if count > _MAX_EXTENTS:
            raise DamagedHeifError("an item in too many parts")
        parts = []
        for _ in range(count):
            reader.take(index_size)
            parts.append((base + reader.number(offset_size), reader.number(length_size)))
        if not method:
            _add(extents, number, parts)
    return extents


def _add(found: dict[int, _T], number: int, value: _T) -> None:
    if number in found:
        raise DamagedHeifError(f"item {number} is described twice")
    found[number] = value


class _Reader:
    """Reads numbers one after the other; IndexError at the end."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._next = 0

    def take(self, size: int) -> memoryview:
        self._next += size
        if self._next > len(self._data):
            raise IndexError("the box ends too early")
        return self._data[self._next - size : self._next]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def versioned(self, wide_from: int = 1) -> int:
        """An item's number behind the version of its box, which says how wide it is."""
        version = self.number(1)
        self.take(3)
        return self.number(4 if version >= wide_from else 2)
