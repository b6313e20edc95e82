"""The folders that images can be ingested from: the image roots and what is below them."""

import os
from pathlib import Path

from sources.errors import SourceError
from sources.roots import ImageRoots

MAX_FOLDERS = 1000


def subfolders(roots: ImageRoots, path: str) -> list[Path]:
    """The first thousand folders in a folder by name, without links and hidden ones; the roots for an empty path.

    Raises SourceError where the path is not a folder below the roots, or cannot be read.
    """
    if not path:
        return list(roots.folders)
    try:
        with os.scandir(roots.resolve(path)) as entries:
            names = sorted(
                entry.path for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."
            )
    except NotADirectoryError as error:
        raise SourceError("the path is a file; name the folder that holds it") from error
    except OSError as error:
        raise SourceError(f"the folder cannot be read: {os.strerror(error.errno or 0).lower()}") from error
    return [Path(name) for name in names[:MAX_FOLDERS]]
