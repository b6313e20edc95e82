"""Image roots: the only folders that images are read from by path."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from domain.uri import uri_fault
from sources.errors import MissingSourceError, OutsideRootsError, OversizedSourceError, SourceError

# Kernel files look regular, expose secrets and may never end.
_KERNEL_FOLDERS = (Path("/proc"), Path("/sys"), Path("/dev"))
_MISSING = "there is no such file below the image roots"


class ImageRoots:
    """Reads images by path, below a few folders and nowhere else.

    A uri is an absolute path, a `file://` URL, or a path relative to the first root that has the file.
    """

    def __init__(self, folders: Sequence[Path | str]) -> None:
        # A root may be a link, so a uri may begin with either of its names.
        self._roots = tuple((Path(folder).absolute(), Path(folder).resolve()) for folder in folders)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The roots, resolved."""
        return tuple(root for _, root in self._roots)

    def resolve(self, uri: str) -> Path:
        """The real path of a file or folder below a root; raises SourceError."""
        with _source_errors():
            root, path = self._locate(uri)
            return root / path

    def size(self, uri: str) -> int:
        """The size of a file in bytes, from the file system; raises SourceError."""
        with _source_errors():
            return self.resolve(uri).stat().st_size

    def read(self, uri: str, max_bytes: int) -> bytes:
        """The whole file, at most `max_bytes`; raises SourceError."""
        with _source_errors():
            return _read_below(*self._locate(uri), max_bytes)

    def _locate(self, uri: str) -> tuple[Path, Path]:
        """The root that has the uri, and the link-free path below it."""
        path = _path_of(uri)
        inside = [(root, real) for name, root in self._roots if (real := _real_path(path, name, root))]
        for root, real in inside:
            if real.exists():
                return root, real.relative_to(root)
        if inside:
            raise MissingSourceError(_MISSING)
        # The same for files that exist and files that do not: callers must not learn what is outside.
        raise OutsideRootsError("the path is outside the image roots; send the image's bytes instead")


def _path_of(uri: str) -> Path:
    """The path that a uri names, without access to the disk."""
    if fault := uri_fault(uri):
        raise SourceError(f"a path {fault}")
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.isalnum():
        if scheme.lower() != "file":
            raise SourceError(f"fetching {scheme.lower()} urls is switched off; send the image's bytes instead")
        try:
            uri = unquote(rest, errors="strict")
        except UnicodeDecodeError as error:
            raise SourceError("the percent-encoded bytes of a file url must be UTF-8") from error
        if not uri.startswith("/") or "\0" in uri:
            raise SourceError("a file url must hold an absolute path without a host, for example file:///photos/a.jpg")
    path = Path(uri)
    if ".." in path.parts:
        raise OutsideRootsError("a path must not contain '..'")
    return path


def _real_path(path: Path, name: Path, root: Path) -> Path | None:
    """The link-free path below a root; None if it is not below that root."""
    if path.is_absolute():
        prefix = next((prefix for prefix in (name, root) if path.is_relative_to(prefix)), None)
        if prefix is None:
            return None
        path = path.relative_to(prefix)
    real = Path(os.path.realpath(root / path))
    is_kernel_file = any(real.is_relative_to(folder) for folder in _KERNEL_FOLDERS)
    return real if real.is_relative_to(root) and not is_kernel_file else None


def _read_below(root: Path, path: Path, max_bytes: int) -> bytes:
    """Open each part of a link-free path without following links: a link that was created meanwhile is refused."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.parts[:-1]:
            child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = child
        # Opening a device or a pipe may block or have effects: check before opening, and again what was opened.
        _require_regular(os.stat(path.name or ".", dir_fd=folder, follow_symlinks=False))
        file = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(file, "rb") as stream:
        before = os.fstat(file)
        _require_regular(before)
        if before.st_size > max_bytes:
            raise OversizedSourceError(f"the file is larger than {max_bytes:,} bytes")
        data = stream.read(max_bytes + 1)
        after = os.fstat(file)
    if len(data) > max_bytes or (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise SourceError("the file was changed while it was read; send it again")
    return data


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("the path is not a regular file")


@contextmanager
def _source_errors() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingSourceError(_MISSING) from error
    except PermissionError as error:
        raise SourceError("the file may not be read by the server; check its permissions") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no file system holds such a file
            raise MissingSourceError(_MISSING) from error
        if error.errno == errno.ELOOP:
            raise OutsideRootsError("the path was replaced by a link while it was read") from error
        raise SourceError(f"the file cannot be read: {os.strerror(error.errno or errno.EIO).lower()}") from error
