"""A scan finds the pictures of a folder, always in the same order."""

import os
from pathlib import Path

import pytest

from sources.errors import SourceError
from sources.scan import scan_folder


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_finds_pictures_below_in_order(tmp_path: Path) -> None:
    """Pictures of every format and case are found, sorted, and nothing else is."""
    names = ["B.JPG", "a.jpeg", "c.png", "sub/d.WebP", "sub/deep/e.tiff", "sub/写真.gif", "z.bmp", "z.tif"]
    for name in [*names, "notes.txt", "movie.mp4", ".hidden.jpg", ".git/f.jpg", "sub/.thumbs/g.jpg"]:
        _touch(tmp_path / name)
    (tmp_path / "folder.jpg").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in scan_folder(tmp_path)]
    assert found == ["B.JPG", "a.jpeg", "c.png", "z.bmp", "z.tif", "sub/d.WebP", "sub/写真.gif", "sub/deep/e.tiff"]


def test_links_out_and_linked_folders_are_left_out(tmp_path: Path) -> None:
    """Only links to pictures of the folder itself count."""
    folder = tmp_path / "photos"
    _touch(folder / "a.jpg")
    _touch(tmp_path / "outside.jpg")
    (folder / "in.jpg").symlink_to("a.jpg")
    (folder / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.jpg").symlink_to("none.jpg")
    assert [path.name for path in scan_folder(folder)] == ["a.jpg", "in.jpg"]


def test_names_that_no_message_can_carry_are_left_out(tmp_path: Path) -> None:
    """A name that is not UTF-8 is left out instead of breaking the scan."""
    _touch(tmp_path / "a.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"")
    assert [path.name for path in scan_folder(tmp_path)] == ["a.jpg"]


def test_a_folder_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    """The error comes with the call, not with the first picture."""
    with pytest.raises(SourceError, match="not a folder"):
        scan_folder(tmp_path / "none")
