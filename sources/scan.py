"""Scan: the pictures in a folder, in an order that does not change from run to run."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from sources.errors import MissingSourceError, SourceError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

_log = logging.getLogger(__name__)


def scan_folder(folder: Path | str) -> Iterator[Path]:
    """Picture files below a folder, folder by folder, each sorted by name.

    Left out: hidden files and folders, links that lead out of the folder, linked folders (what they hold is
    either inside anyway or outside), and, with a logged warning, what cannot be listed or named in UTF-8.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingSourceError(f"{folder} is not a folder")
    if not os.access(root, os.R_OK | os.X_OK):
        raise SourceError(f"{folder} may not be read; check its permissions")
    return _pictures(root)


def _pictures(root: Path) -> Iterator[Path]:
    real_root = root.resolve()
    for parent, folders, files in os.walk(root, onerror=_warn):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if _is_picture(path) and _is_inside(path, real_root):
                yield path


def _is_picture(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    if not _is_utf8(path):
        _log.warning("a file name is not UTF-8, so the file is left out", extra={"path": ascii(str(path))})
        return False
    return True


def _is_inside(path: Path, real_root: Path) -> bool:
    if path.is_symlink() and not path.resolve().is_relative_to(real_root):
        return False
    return path.is_file()


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _warn(error: OSError) -> None:
    _log.warning("a folder cannot be listed, so it is left out", extra={"error": error.strerror})
