"""Results in a notebook: a grid of thumbnails, fetched once and kept in the notebook itself."""

import base64
import html
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TIMEOUT_S = 5.0
_MAX_BYTES = 4 << 20
_MAX_TILES = 200
_FRAME = "position:absolute;border:2px solid #e0245e;left:{:.1%};top:{:.1%};width:{:.1%};height:{:.1%}"
# A proxy that the environment names for the web does not know the hosts of Fovea.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Tile:
    """One image to show: the URL of a thumbnail, or the path of the file where there is none."""

    path: str
    url: str
    caption: str
    region: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """HTML that Jupyter shows where this object ends a cell."""

    html: str

    @classmethod
    def of(cls, tiles: Sequence[Tile], *, columns: int) -> Self:
        """At most 200 images in this many columns; one that cannot be read is shown by its name."""
        with ThreadPoolExecutor(8) as threads:
            cells = "".join(threads.map(_cell, tiles[:_MAX_TILES]))
        return cls(f'<div style="display:grid;grid-template-columns:repeat({columns},1fr);gap:8px">{cells}</div>')

    def _repr_html_(self) -> str:
        return self.html


def _cell(tile: Tile) -> str:
    data = _read(tile)
    name = html.escape(tile.path, quote=True)
    if data is None:
        shown = f'<div style="overflow-wrap:anywhere">{name}</div>'
    else:
        source = f"data:;base64,{base64.b64encode(data).decode()}"
        shown = f'<img src="{source}" title="{name}" alt="{name}" style="width:100%;display:block">'
    if data is not None and tile.region:
        left, top, right, bottom = tile.region
        shown += f'<div style="{_FRAME.format(left, top, right - left, bottom - top)}"></div>'
    caption = html.escape(tile.caption)
    return f'<figure style="margin:0"><div style="position:relative">{shown}</div><figcaption>{caption}</figcaption></figure>'


def _read(tile: Tile) -> bytes | None:
    try:
        if tile.url.startswith(("http://", "https://")):
            with _DIRECT.open(tile.url, timeout=_TIMEOUT_S) as response:
                return bytes(response.read(_MAX_BYTES))
        path = Path(tile.path)
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _MAX_BYTES else None
    except (OSError, ValueError):
        return None
