"""Following a folder by looking at it again and again, which works on every file system."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TypeAlias

from sources.scan import scan_folder

_PERIOD_S = 1.0

_Signature: TypeAlias = tuple[int, int]
"""Modification time in ns and size in bytes: another signature is another content."""


async def settled_changes(folder: Path, known: Iterable[Path]) -> AsyncIterator[list[Path]]:
    """Pictures that are new or changed, once they looked the same twice: what is still being written waits.

    `known` were read before; they count as changed when they change from now on.
    """
    taken = _signatures(known)
    before = taken
    while True:
        await asyncio.sleep(_PERIOD_S)
        now = await asyncio.to_thread(lambda: _signatures(scan_folder(folder)))
        settled = [file for file, seen in now.items() if before.get(file) == seen != taken.get(file)]
        if settled:
            yield settled
            taken |= {file: now[file] for file in settled}
        before = now


def _signatures(files: Iterable[Path]) -> dict[Path, _Signature]:
    found = {}
    for file in files:
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found
