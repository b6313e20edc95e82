"""The file of the embedded Milvus, which is a database of SQLite: made with large pages, and freed of room that is not used.

A row takes 2.1 KB with an embedding of 320 numbers, 3.4 KB with one of 640. On SQLite's pages of 4 KB it has one for itself; on
a page of 32 KB there are fifteen, or nine. Larger pages would cost more where single rows are written anew. Dropped collections
and deleted rows leave free pages, which SQLite keeps.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGE_BYTES = 32 << 10
_FREE_SHARE = 0.25  # of the pages: less is soon used again


def prepare_milvus_file(file: Path, say: Callable[[str], None]) -> None:
    """Make the file where there is none, and write a wasteful one anew; Milvus must not run. It never fails for that."""
    try:
        if not file.exists():
            with closing(sqlite3.connect(file)) as database:
                _vacuum(database)
        elif _is_wasteful(file):
            say(f"writing the file of the embedded Milvus anew, {file.stat().st_size >> 20} MiB, to make it smaller …")
            _rewrite(file)
    except (sqlite3.Error, OSError) as error:
        say(f"note: {file} stays as it is: {error}")


def _is_wasteful(file: Path) -> bool:
    """Whether writing it anew makes it much smaller, and there is room for a second one meanwhile."""
    if shutil.disk_usage(file.parent).free < 2 * file.stat().st_size:
        return False
    with closing(sqlite3.connect(file)) as database:
        page_bytes, pages, free = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
    return bool(page_bytes != PAGE_BYTES or free > _FREE_SHARE * pages)


def _rewrite(file: Path) -> None:
    """In a file of its own first, so that a crash leaves the old one or the new one."""
    rewritten = file.with_name(f"{file.name}.rewritten")
    rewritten.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as database:
        _vacuum(database, rewritten)
    with rewritten.open("rb") as written:
        os.fsync(written.fileno())
    rewritten.replace(file)


def _vacuum(database: sqlite3.Connection, into: Path | None = None) -> None:
    database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    if into is None:
        database.execute("VACUUM")
    else:
        database.execute("VACUUM INTO ?", (str(into),))
