"""Uploads keep bytes under their SHA-256."""

import hashlib
from pathlib import Path

import pytest

from sources.errors import MissingSourceError, SourceError
from sources.uploads import Uploads


def test_gives_back_what_was_kept(tmp_path: Path) -> None:
    """Bytes come back whole, and keeping them twice is one file."""
    uploads = Uploads(tmp_path / "uploads")
    sha256 = hashlib.sha256(b"picture").hexdigest()
    uploads.keep(sha256, b"picture")
    uploads.keep(sha256, b"picture")
    assert uploads.read(sha256) == b"picture"
    assert [path.name for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == [sha256]


def test_unknown_bytes_are_missing(tmp_path: Path) -> None:
    """What was not kept is missing."""
    with pytest.raises(MissingSourceError):
        Uploads(tmp_path).read("0" * 64)


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "0" * 63, "G" * 64, "0" * 64 + "\n"])
def test_a_key_is_a_sha256(tmp_path: Path, key: str) -> None:
    """A key that is no SHA-256 never becomes a path."""
    with pytest.raises(SourceError, match="64"):
        Uploads(tmp_path).read(key)


def test_a_full_or_closed_folder_is_told(tmp_path: Path) -> None:
    """A folder that cannot be written gives one sentence."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be kept"):
        Uploads(tmp_path / "file").keep("0" * 64, b"x")
