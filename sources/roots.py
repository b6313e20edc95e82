"""Image roots: the only folders that pictures are read from by path."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from domain.limits import MAX_URI_BYTES
from sources.errors import MissingSourceError, OutsideRootsError, OversizedSourceError, SourceError

# Files of the kernel: they look regular, tell secrets and may never end.
_KERNEL_FOLDERS = (Path("/proc"), Path("/sys"), Path("/dev"))


class ImageRoots:
    """Reads pictures by path, below a few folders and nowhere else.

    A uri is an absolute path, a `file://` URL, or a path relative to one of the roots (the first that has it wins).
    """

    def __init__(self, folders: Sequence[Path | str]) -> None:
        # A root may be named by a link, so a uri may begin with either of its names.
        self._roots = tuple((Path(folder).absolute(), Path(folder).resolve()) for folder in folders)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The roots, resolved."""
        return tuple(root for _, root in self._roots)

    def resolve(self, uri: str) -> Path:
        """The real path of a file or folder below a root; raises SourceError."""
        try:
            root, path = self._locate(uri)
        except OSError as error:
            raise _explain(error) from error
        return root / path

    def size(self, uri: str) -> int:
        """The bytes of a file, as the file system tells them; raises SourceError."""
        try:
            root, path = self._locate(uri)
            return (root / path).stat().st_size
        except OSError as error:
            raise _explain(error) from error

    def read(self, uri: str, max_bytes: int) -> bytes:
        """The whole file, at most `max_bytes`; raises SourceError."""
        try:
            root, path = self._locate(uri)
            return _read_below(root, path, max_bytes)
        except OSError as error:
            raise _explain(error) from error

    def _locate(self, uri: str) -> tuple[Path, Path]:
        """The root that has the uri, and the link-free path below it."""
        path = _path_of(uri)
        inside = False
        for name, root in self._roots:
            candidate = _below(path, name, root)
            if candidate is None:
                continue
            real = Path(os.path.realpath(candidate))
            if not real.is_relative_to(root) or any(real.is_relative_to(folder) for folder in _KERNEL_FOLDERS):
                continue
            inside = True
            if real.exists():
                return root, real.relative_to(root)
        if inside:
            raise MissingSourceError("there is no such file below the image roots")
        raise OutsideRootsError("the path is outside the image roots; send the image's bytes instead")


def _path_of(uri: str) -> Path:
    """The path that a uri names, checked as text only."""
    if not uri:
        raise SourceError("a path must not be empty")
    if "\0" in uri:
        raise SourceError("a path must not contain a NUL character")
    if len(uri.encode("utf-8", "surrogatepass")) > MAX_URI_BYTES:
        raise SourceError(f"a path must not be longer than {MAX_URI_BYTES:,} bytes")
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.isalnum():
        if scheme.lower() != "file":
            raise SourceError(f"fetching {scheme.lower()} urls is switched off; send the image's bytes instead")
        uri = _unquoted(rest)
        if not uri.startswith("/") or "\0" in uri:
            raise SourceError("a file url must hold an absolute path without a host, for example file:///photos/a.jpg")
    path = Path(uri)
    if ".." in path.parts:
        raise OutsideRootsError("a path must not contain '..'")
    return path


def _unquoted(path: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise SourceError("a file url must be UTF-8 behind its percent signs") from error


def _below(path: Path, name: Path, root: Path) -> Path | None:
    """The path seen from a root; None where it is not below it. Touches no disk."""
    if not path.is_absolute():
        return root / path
    for prefix in (name, root):
        if path.is_relative_to(prefix):
            return root / path.relative_to(prefix)
    return None


def _read_below(root: Path, path: Path, max_bytes: int) -> bytes:
    """Opens each part of a link-free path without following links, so that a link made meanwhile leads nowhere."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.parts[:-1]:
            child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = child
        # Opening a device or a pipe may block or act: look first, and look again at what was opened.
        _require_regular(os.stat(path.name or ".", dir_fd=folder, follow_symlinks=False))
        file = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(file, "rb") as stream:
        return _read_whole(stream.fileno(), max_bytes)


def _read_whole(file: int, max_bytes: int) -> bytes:
    before = os.fstat(file)
    _require_regular(before)
    if before.st_size > max_bytes:
        raise OversizedSourceError(f"the file is larger than {max_bytes:,} bytes")
    chunks = []
    left = max_bytes + 1
    while left and (chunk := os.read(file, left)):
        chunks.append(chunk)
        left -= len(chunk)
    after = os.fstat(file)
    if not left or (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise SourceError("the file was changed while it was read; send it again")
    return b"".join(chunks)


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("the path names no regular file")


def _explain(error: OSError) -> SourceError:
    # No file system holds a name that is too long, so there is no such file.
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return MissingSourceError("there is no such file below the image roots")
    if error.errno == errno.ELOOP:
        return OutsideRootsError("the path was made a link while it was read")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceError("the file may not be read by the server; check its permissions")
    return SourceError(f"the file cannot be read: {os.strerror(error.errno or errno.EIO).lower()}")
