"""Uploads keep bytes under their SHA-256."""

import hashlib
from pathlib import Path

import pytest

from sources.errors import MissingSourceError, SourceError
from sources.uploads import Uploads

SHA256 = hashlib.sha256(b"bytes").hexdigest()


def test_reads_what_was_kept(tmp_path: Path) -> None:
    """Bytes come back whole, and keeping them twice is one file."""
    uploads = Uploads(tmp_path / "uploads")
    sha256 = hashlib.sha256(b"image").hexdigest()
    uploads.keep(sha256, b"image")
    uploads.keep(sha256, b"image")
    assert uploads.read(sha256) == b"image"
    assert [path.name for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == [sha256]


def test_unknown_bytes_are_missing(tmp_path: Path) -> None:
    """What was not kept is missing."""
    with pytest.raises(MissingSourceError):
        Uploads(tmp_path).read("0" * 64)


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "0" * 63, "G" * 64, "0" * 64 + "\n"])
def test_a_key_is_a_sha256(tmp_path: Path, key: str) -> None:
    """A key that is not a SHA-256 never becomes a path."""
    with pytest.raises(SourceError, match="64"):
        Uploads(tmp_path).read(key)


def test_an_unwritable_folder_fails(tmp_path: Path) -> None:
    """A folder that cannot be written gives one sentence."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be kept"):
        Uploads(tmp_path / "file").keep("0" * 64, b"x")


def test_what_is_set_aside_can_come_back_or_go(tmp_path: Path) -> None:
    """A file that is set aside is not read; it is restored or removed, and keeping the same bytes writes them anew."""
    uploads = Uploads(tmp_path)
    uploads.keep(SHA256, b"bytes")
    uploads.set_aside(SHA256)
    with pytest.raises(MissingSourceError):
        uploads.read(SHA256)
    assert (uploads.has(SHA256), list(uploads.kept())) == (True, [SHA256])
    uploads.restore(SHA256)
    assert uploads.read(SHA256) == b"bytes"

    uploads.set_aside(SHA256)
    uploads.keep(SHA256, b"bytes")
    uploads.remove(SHA256)
    assert uploads.read(SHA256) == b"bytes"
    uploads.set_aside(SHA256)
    uploads.remove(SHA256)
    assert (uploads.has(SHA256), list(uploads.kept())) == (False, [])


def test_steps_on_what_is_not_kept_change_nothing(tmp_path: Path) -> None:
    """Removing, restoring or setting aside unknown bytes is not an error."""
    uploads = Uploads(tmp_path)
    for step in (uploads.set_aside, uploads.restore, uploads.remove):
        step(SHA256)
    assert list(uploads.kept()) == []
