"""Scan: the images in a folder, in the same order in every run, and the files that are left out."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from sources.errors import MissingSourceError, SourceError
from sources.file_groups import FilesByReason
from sources.formats import is_supported, why_unsupported
from sources.ignore_rules import IgnoreRules

# Folders that storage servers, Windows, macOS and file systems create beside a person's files.
_SYSTEM_FOLDERS = frozenset({"@eadir", "#recycle", "#snapshot", "@recycle", "$recycle.bin", "__macosx", "lost+found"})


class FolderScan:
    """One scan of a folder: iterate it once for the paths of its images, folder by folder, each sorted by name.

    Skipped without a report: hidden files and folders, system folders, and what `exclude` or a `.foveaignore` file
    names, both in gitignore's syntax. All other files that are not images are in `left_out`, with the reason; `found`
    counts the images, and `unlisted` holds the folders that could not be listed.
    """

    def __init__(self, folder: Path | str, *, exclude: Sequence[str] = (), missing_ok: bool = False) -> None:
        """Raises SourceError if there is no such folder, unless `missing_ok`, or if it may not be read."""
        self.folder = str(folder)
        self.found = 0
        self.left_out = FilesByReason()
        self.unlisted: set[str] = set()
        self._rules = IgnoreRules.below(self.folder, exclude)
        self._real_root = os.path.realpath(folder)
        self._identity = _identity(self.folder)
        if self._identity is None and not missing_ok:
            raise MissingSourceError(f"{folder} is not a folder")
        if self._identity is not None and not os.access(folder, os.R_OK | os.X_OK):
            raise SourceError(f"{folder} may not be read; check its permissions")

    @property
    def is_same_folder(self) -> bool:
        """Whether the path still names the folder that was scanned: not away, and no other disk is mounted there."""
        return _identity(self.folder) == self._identity

    def __iter__(self) -> Iterator[str]:
        if self._identity is None:
            return
        pending = [(self.folder, self._rules)]
        while pending:
            folder, rules = pending.pop()
            subfolders = []
            try:
                rules = rules.inside(folder)
                entries = _listed(folder)
            except (OSError, SourceError) as error:
                self._leave_out_folder(folder, error)
                continue
            for entry in entries:
                if _is_private(entry.name):
                    continue
                if _is_folder(entry):
                    if not rules.ignores(f"{entry.path}/"):
                        subfolders.append((entry.path, rules))
                elif not rules.ignores(entry.path) and self._is_image(entry):
                    self.found += 1
                    yield entry.path
            pending += reversed(subfolders)

    def excludes(self, path: str) -> bool:
        """Whether a file below the folder is skipped by its name, whatever it holds; raises SourceError."""
        *folders, name = path.removeprefix(below(self.folder)).split("/")
        folder, rules = self.folder, self._rules.inside(self.folder)
        for part in folders:
            folder = below(folder) + part
            if _is_private(part) or rules.ignores(f"{folder}/"):
                return True
            rules = rules.inside(folder)
        return _is_private(name) or not is_supported(name) or rules.ignores(path)

    def _is_image(self, entry: os.DirEntry[str]) -> bool:
        reason = _why_not(entry, self._real_root)
        if reason:
            self.left_out.add(entry.path, reason)
        return not reason

    def _leave_out_folder(self, folder: str, error: OSError | SourceError) -> None:
        if folder == self.folder:
            raise SourceError(f"{folder} cannot be read: {_message(error)}") from error
        self.unlisted.add(folder)
        self.left_out.add(folder, f"a folder that cannot be read: {_message(error)}")


def below(folder: str) -> str:
    """The prefix of every path below a folder."""
    return f"{folder.rstrip('/')}/"


def _why_not(entry: os.DirEntry[str], real_root: str) -> str:
    """Why a file is not an image to ingest; empty if it is one."""
    try:
        if entry.is_symlink() and (reason := _why_not_followed(entry, real_root)):
            return reason
        if not is_supported(entry.name):
            return why_unsupported(entry.name)
        if not entry.is_file():
            return "not a regular file but a socket, a pipe or a device"
        entry.path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8; rename it"
    except OSError as error:
        return f"a file that cannot be read: {_message(error)}"
    return ""


def _why_not_followed(link: os.DirEntry[str], real_root: str) -> str:
    try:
        target = os.path.realpath(link.path, strict=True)
    except OSError:
        return "a link that leads nowhere"
    if link.is_dir():
        return "a link to a folder, which is not followed"
    leads_out = is_supported(link.name) and not target.startswith(below(real_root))
    return "a link that leads out of the folder" if leads_out else ""


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


def _identity(folder: str) -> tuple[int, int] | None:
    """Device and inode of a folder; None if it does not exist."""
    try:
        status = Path(folder).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {_message(error)}") from error
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _message(error: OSError | SourceError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
