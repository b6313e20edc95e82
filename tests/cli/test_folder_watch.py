"""Watching a folder: each look finds what changed and what was removed, once it stays so."""

import os
from pathlib import Path

import pytest

from cli.file_ingest import FileOutcome, signature_of
from cli.folder_watch import FolderWatch
from sources.errors import MissingSourceError


def _sent(watch: FolderWatch, file: Path) -> None:
    """The file as it is now was sent."""
    watch.settle(FileOutcome(str(file), "added", signature=signature_of(str(file))))


def _settled(watch: FolderWatch) -> list[str]:
    return [Path(file).name for file in watch.look().settled]


def _removed(watch: FolderWatch) -> set[str]:
    return {Path(file).name for file in watch.look().removed}


def test_changes_count_once_they_settle(tmp_path: Path) -> None:
    """A new image and a changed one count at the second look that sees them alike, and not after they were sent."""
    known, new = tmp_path / "known.png", tmp_path / "new.png"
    known.write_bytes(b"1")
    watch = FolderWatch(str(tmp_path))
    _sent(watch, known)
    new.write_bytes(b"2")

    assert _settled(watch) == []
    new.write_bytes(b"still being written")
    assert _settled(watch) == []
    assert _settled(watch) == ["new.png"]
    _sent(watch, new)
    known.write_bytes(b"other")
    assert _settled(watch) == []
    assert _settled(watch) == ["known.png"]


def test_a_change_during_the_first_pass_is_seen(tmp_path: Path) -> None:
    """What counts is the file as it was when it was read, not as it was when the watch began."""
    image = tmp_path / "a.png"
    image.write_bytes(b"one")
    watch = FolderWatch(str(tmp_path))
    _read = signature_of(str(image))
    image.write_bytes(b"two, longer")
    watch.settle(FileOutcome(str(image), "added", signature=_read))

    watch.look()
    assert _settled(watch) == ["a.png"]


def test_another_file_of_the_same_size_and_time_is_a_change(tmp_path: Path) -> None:
    """Programs that copy files keep their times."""
    image, other = tmp_path / "a.png", tmp_path / "other"
    image.write_bytes(b"one")
    other.write_bytes(b"two")
    watch = FolderWatch(str(tmp_path))
    _sent(watch, image)
    status = image.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(image)

    watch.look()
    assert _settled(watch) == ["a.png"]


def test_failures_that_may_pass_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later and later, but at once when the file changes no more than it must; one that cannot pass waits for a change."""
    clock = [100.0]
    monkeypatch.setattr("cli.folder_watch.time.monotonic", lambda: clock[0])
    busy, broken = tmp_path / "busy.png", tmp_path / "broken.png"
    watch = FolderWatch(str(tmp_path))
    for file in (busy, broken):
        file.write_bytes(b"1")

    def fail() -> None:
        for file in (busy, broken):
            signature = signature_of(str(file))
            watch.settle(FileOutcome(str(file), "failed", signature=signature, may_pass=file is busy))

    waits = []
    for _ in range(4):
        fail()
        began = clock[0]
        while not (settled := _settled(watch)):
            clock[0] += 0.5
        assert settled == ["busy.png"]
        waits.append(clock[0] - began)
    assert waits == [2.0, 4.0, 8.0, 16.0]
    broken.write_bytes(b"mended")
    watch.look()
    assert "broken.png" in _settled(watch)


def test_files_are_removed_when_two_looks_miss_them(tmp_path: Path) -> None:
    """A file that is replaced is away for a moment and not removed; one that stays away is."""
    image, other = tmp_path / "a.png", tmp_path / "b.png"
    watch = FolderWatch(str(tmp_path))
    for file in (image, other):
        file.write_bytes(b"1")
        _sent(watch, file)
    image.unlink()
    assert _removed(watch) == set()
    image.write_bytes(b"1")
    assert _removed(watch) == set()
    image.unlink()
    watch.look()
    assert _removed(watch) == {"a.png"}
    watch.forget([str(image)])
    assert _removed(watch) == set()
    image.write_bytes(b"1")
    watch.look()
    assert _settled(watch) == ["a.png"]


def test_nothing_is_removed_with_a_folder_that_is_away(tmp_path: Path) -> None:
    """A folder that is away for a moment is an error of the look, and afterwards everything is as before."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"1")
    watch = FolderWatch(str(folder))
    _sent(watch, folder / "a.png")
    assert watch.look().settled == ()
    folder.rename(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(MissingSourceError):
            watch.look()
    (tmp_path / "away").rename(folder)

    back = watch.look()
    assert (back.settled, back.removed) == ((), frozenset())
