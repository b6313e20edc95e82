"""Files of models from any source: read only if they are not a web page, a Git LFS pointer or too large."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from encoders.errors import BundleError

# A protobuf message cannot hold 2 GiB, and the bundle's graph is one message.
MAX_MODEL_BYTES = 1_900 * 1024 * 1024
MAX_TEXT_BYTES = 1024 * 1024
# The largest that are published, of 256,000 tokens, have 34 MB.
MAX_TOKENIZER_BYTES = 64 * 1024 * 1024

_START_BYTES = 256
_LFS_POINTER = b"version https://git-lfs"


def read_model_file(path: Path) -> bytes:
    """The bytes of a model or weights file; raises `BundleError` where its first bytes show that it is something else."""
    data = _read(path, MAX_MODEL_BYTES)
    _refuse_impostors(path, data)
    return data


def check_model_file(path: Path) -> None:
    """Raise the same for a file of any size that another reader will open."""
    with _opened(path) as opened:
        _refuse_impostors(path, opened.read(_START_BYTES))


def read_text_file(path: Path) -> str:
    """The text of a small file that belongs to a model: a description, a `.cfg`, a list of labels."""
    data = _read(path, MAX_TEXT_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not a text file in UTF-8.") from error


def read_tokenizer_file(path: Path) -> bytes:
    """The bytes of a `tokenizer.json`; raises `BundleError` where they are plainly something else."""
    data = _read(path, MAX_TOKENIZER_BYTES)
    _refuse_impostors(path, data)
    return data


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line, in the order of the class ids; blank lines at the end do not count."""
    labels = tuple(line.strip() for line in read_text_file(path).rstrip().splitlines())
    for number, label in enumerate(labels, start=1):
        if not label:
            raise BundleError(f"{path}, line {number} is empty: every class needs a label.")
    return labels


def _refuse_impostors(path: Path, data: bytes) -> None:
    if data.startswith(_LFS_POINTER):
        raise BundleError(f"{path} is a Git LFS pointer, not the model: fetch the file itself with `git lfs pull`.")
    start = data[:_START_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise BundleError(f"{path} is a web page, not a model: download the file itself, not the page that shows it.")


def _read(path: Path, max_bytes: int) -> bytes:
    with _opened(path) as opened:
        data = opened.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise BundleError(f"{path} is larger than {max_bytes // 2**20} MiB, the most that can be imported.")
    return data


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not path.is_file():
            raise BundleError(f"{path} is not a file." if path.exists() else f"{path} does not exist.")
        if not path.stat().st_size:
            raise BundleError(f"{path} is empty: the download or copy did not finish.")
        with path.open("rb") as opened:
            yield opened
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
