"""Scan: the images in a folder, in an order that does not change from run to run, and what was left out."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from sources.errors import MissingSourceError, SourceError
from sources.findings import Findings
from sources.formats import is_supported, why_unsupported
from sources.ignoring import Ignored

# What storage servers, Windows, macOS and file systems keep for themselves beside a person's files.
_SYSTEM_FOLDERS = frozenset({"@eadir", "#recycle", "#snapshot", "@recycle", "$recycle.bin", "__macosx", "lost+found"})


class FolderScan:
    """One look at a folder: iterated once, it gives the paths of its images, folder by folder, each sorted by name.

    Passed over without a word: hidden files and folders, system folders, and what `exclude` or a `.foveaignore` file
    names, both in gitignore's syntax. Whatever else is not given is in `left_out`, with the reason; `found` counts what
    was given, and `unlisted` has the folders that could not be looked into.
    """

    def __init__(self, folder: Path | str, *, exclude: Sequence[str] = (), missing_ok: bool = False) -> None:
        """Raises SourceError where there is no such folder, unless `missing_ok`, or where it may not be read."""
        self.folder = str(folder)
        self.found = 0
        self.left_out = Findings()
        self.unlisted: set[str] = set()
        self._ignored = Ignored.below(self.folder, exclude)
        self._real_root = os.path.realpath(folder)
        self._identity = _identity(self.folder)
        if self._identity is None:
            if not missing_ok:
                raise MissingSourceError(f"{folder} is not a folder")
        elif not os.access(folder, os.R_OK | os.X_OK):
            raise SourceError(f"{folder} may not be read; check its permissions")

    @property
    def is_same_folder(self) -> bool:
        """Whether the folder is still the one that was looked at: not away, and no other disk is mounted there."""
        return _identity(self.folder) == self._identity

    def __iter__(self) -> Iterator[str]:
        if self._identity is None:
            return
        pending = [(self.folder, self._ignored)]
        while pending:
            folder, ignored = pending.pop()
            subfolders = []
            try:
                ignored = ignored.inside(folder)
                entries = _listed(folder)
            except (OSError, SourceError) as error:
                self._leave_out_folder(folder, error)
                continue
            for entry in entries:
                if _is_private(entry.name):
                    continue
                if _is_folder(entry):
                    if f"{entry.path}/" not in ignored:
                        subfolders.append((entry.path, ignored))
                elif entry.path not in ignored and self._takes(entry):
                    self.found += 1
                    yield entry.path
            pending += reversed(subfolders)

    def excludes(self, path: str) -> bool:
        """Whether a file below the folder is passed over by name, whatever it holds; raises SourceError."""
        *folders, name = path.removeprefix(below(self.folder)).split("/")
        folder, ignored = self.folder, self._ignored.inside(self.folder)
        for part in folders:
            folder = below(folder) + part
            if _is_private(part) or f"{folder}/" in ignored:
                return True
            ignored = ignored.inside(folder)
        return _is_private(name) or not is_supported(name) or path in ignored

    def _takes(self, entry: os.DirEntry[str]) -> bool:
        reason = _why_not(entry, self._real_root)
        if reason:
            self.left_out.add(entry.path, reason)
        return not reason

    def _leave_out_folder(self, folder: str, error: OSError | SourceError) -> None:
        if folder == self.folder:
            raise SourceError(f"{folder} cannot be read: {_in_words(error)}") from error
        self.unlisted.add(folder)
        self.left_out.add(folder, f"a folder that cannot be read: {_in_words(error)}")


def below(folder: str) -> str:
    """How the path of everything below a folder begins."""
    return f"{folder.rstrip('/')}/"


def _why_not(entry: os.DirEntry[str], real_root: str) -> str:
    """Why a file is not an image that can be taken; empty where it is."""
    try:
        if entry.is_symlink():
            return _why_not_link(entry, real_root)
        if not is_supported(entry.name):
            return why_unsupported(entry.name)
        if not entry.is_file(follow_symlinks=False):
            return "not a regular file but a socket, a pipe or a device"
    except OSError as error:
        return f"a file that cannot be read: {_in_words(error)}"
    return "" if _is_utf8(entry.path) else "the name is not UTF-8; rename it"


def _why_not_link(entry: os.DirEntry[str], real_root: str) -> str:
    try:
        target = os.path.realpath(entry.path, strict=True)
    except OSError:
        return "a link that leads nowhere"
    if entry.is_dir():
        return "a link to a folder, which is not followed"
    if not is_supported(entry.name):
        return why_unsupported(entry.name)
    if not target.startswith(below(real_root)):
        return "a link that leads out of the folder"
    if not entry.is_file():
        return "not a regular file but a socket, a pipe or a device"
    return "" if _is_utf8(entry.path) else "the name is not UTF-8; rename it"


def _listed(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_private(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(folder: str) -> tuple[int, int] | None:
    """Device and inode of a folder; None where there is none."""
    try:
        status = Path(folder).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {_in_words(error)}") from error
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _in_words(error: OSError | SourceError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
