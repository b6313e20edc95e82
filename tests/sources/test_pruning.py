"""Pruning deletes images whose files were removed, keeps those that cannot be read, and moves metadata along with files."""

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sources.errors import SourceError
from sources.pruning import Pruning
from sources.scan import FolderScan


@dataclass(frozen=True, slots=True)
class Stored:
    """One image of a collection."""

    uri: str
    sha256: str
    metadata: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Collection:
    """The images of a collection by uri: fills itself from a folder, and prunes as the programs do."""

    images: dict[str, Stored] = field(default_factory=dict)

    async def all(self) -> AsyncIterator[Stored]:
        """Lists them in an order that is neither that of the names nor that of the folder."""
        for uri in sorted(self.images, key=lambda uri: uri[::-1]):
            yield self.images[uri]

    def take(self, files: Mapping[str, None]) -> None:
        """Ingest files, whose content stands for its own hash; known images keep their metadata."""
        for file in files:
            known = self.images.get(file)
            self.images[file] = Stored(file, Path(file).read_text(), known.metadata if known else {})

    async def prune(self, scan: FolderScan, files: Mapping[str, None]) -> set[str]:
        """The uris that were deleted."""
        pruning: Pruning[Stored] = Pruning(scan, files)
        await pruning.find(self.all)
        for uri, old in pruning.metadata_from.items():
            self.images[uri] = Stored(uri, self.images[uri].sha256, old.metadata)
        deleted = set(pruning.deletable())
        for uri in deleted:
            del self.images[uri]
        return deleted


def _write(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return str(path)


def _scanned(folder: Path, *exclude: str) -> tuple[FolderScan, dict[str, None]]:
    scan = FolderScan(folder, exclude=exclude)
    return scan, dict.fromkeys(scan)


_NAMES = st.sampled_from([f"{folder}{name}.png" for folder in ("", "a/", "b/", "a/c/") for name in "xyz"])
_TREES = st.dictionaries(_NAMES, st.integers(0, 3), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(before=_TREES, after=_TREES, described=st.sets(_NAMES), excluded=st.sampled_from(["", "a/", "x.png"]))
@example(before={"x.png": 0, "b/y.png": 0}, after={"a/x.png": 0}, described={"b/y.png"}, excluded="")
async def test_any_change_of_a_folder_is_mirrored(
    tmp_path_factory: pytest.TempPathFactory,
    before: dict[str, int],
    after: dict[str, int],
    described: set[str],
    excluded: str,
) -> None:
    """Afterwards the folder's images are those of the scan; no metadata is lost with its bytes still there."""
    folder = tmp_path_factory.mktemp("mirror")
    collection = Collection()
    for name, content in before.items():
        uri = _write(folder, name, str(content))
        collection.images[uri] = Stored(uri, str(content), {"n": content} if name in described else {})
    for name in before.keys() - after.keys():
        (folder / name).unlink()
    for name, content in after.items():
        _write(folder, name, str(content))
    outside = Stored(str(folder) + "2/x.png", "0", {"n": 9})
    collection.images[outside.uri] = outside
    scan, files = _scanned(folder, *filter(None, [excluded]))
    collection.take(files)
    stored_before = dict(collection.images)
    if not files:
        with pytest.raises(SourceError, match="unmounted"):
            await collection.prune(scan, files)
        assert collection.images == stored_before
        return

    await collection.prune(scan, files)

    assert collection.images.pop(outside.uri) == outside
    assert collection.images.keys() == files.keys()
    gone = stored_before.keys() - files.keys() - {outside.uri}
    lost = {stored_before[uri].sha256 for uri in gone if stored_before[uri].metadata}
    bare = {image.sha256 for image in collection.images.values() if not image.metadata}
    kept = {image.sha256 for image in collection.images.values() if image.metadata}
    assert lost & bare <= kept


async def test_a_moved_file_inherits_and_its_copies_go_by_name(tmp_path: Path) -> None:
    """Two equal files that moved together keep their own metadata each."""
    collection = Collection()
    for folder in ("a", "b"):
        uri = str(tmp_path / folder / f"{folder}.png")
        collection.images[uri] = Stored(uri, "same", {"n": ord(folder)})
    new = {folder: _write(tmp_path, f"new/{folder}.png", "same") for folder in ("b", "a")}
    scan, files = _scanned(tmp_path)
    collection.take(files)

    await collection.prune(scan, files)

    assert {uri: image.metadata for uri, image in collection.images.items()} == {
        new["a"]: {"n": ord("a")},
        new["b"]: {"n": ord("b")},
    }


async def test_metadata_that_is_given_is_kept(tmp_path: Path) -> None:
    """An image that has metadata, or was described by the caller, inherits none."""
    old = Stored(str(tmp_path / "old.png"), "same", {"n": 1})
    own, empty = _write(tmp_path, "own.png", "same"), _write(tmp_path, "empty.png", "same")
    scan, files = _scanned(tmp_path)
    collection = Collection({each.uri: each for each in (old, Stored(own, "same", {"n": 2}), Stored(empty, "same"))})
    pruning: Pruning[Stored] = Pruning(scan, files)

    await pruning.find(collection.all, described={empty})

    assert (pruning.metadata_from, pruning.moved, pruning.deletable()) == ({}, {old.uri}, [old.uri])


async def test_what_could_not_follow_keeps_the_old(tmp_path: Path) -> None:
    """A move that failed half-way loses no metadata: the old image stays for the next run."""
    old = Stored(str(tmp_path / "old.png"), "same", {"n": 1})
    new = _write(tmp_path, "new.png", "same")
    scan, files = _scanned(tmp_path)
    collection = Collection({old.uri: old, new: Stored(new, "same")})
    pruning: Pruning[Stored] = Pruning(scan, files)
    await pruning.find(collection.all)

    assert pruning.deletable(failed=[new]) == []
    assert pruning.deletable() == [old.uri]


async def _deletable(folder: Path, *uris: str, changed: object = None) -> list[str]:
    """What pruning would delete of stored uris, with the folder as it is."""
    scan, files = _scanned(folder)
    collection = Collection({uri: Stored(uri, "other") for uri in uris})
    pruning: Pruning[Stored] = Pruning(scan, files)
    await pruning.find(collection.all)
    if callable(changed):
        changed()
    return pruning.deletable()


async def test_other_spellings_of_a_path_are_not_judged(tmp_path: Path) -> None:
    """A scan yields plain absolute paths only, so images with other uris are kept."""
    _write(tmp_path, "a.png", "1")
    others = [f"{tmp_path}/./gone.png", f"{tmp_path}//gone.png", f"{tmp_path}/sub/../gone.png", "gone.png"]
    others += [f"file://{tmp_path}/gone.png", f"{tmp_path}2/gone.png", f"{tmp_path}/../gone.png", "sha256:00"]

    assert await _deletable(tmp_path, *others, f"{tmp_path}/gone.png") == [f"{tmp_path}/gone.png"]


async def test_what_cannot_be_read_now_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link without its target, a file or folder that fails, a name that is too long: all may be back tomorrow."""
    _write(tmp_path, "a.png", "1")
    _write(tmp_path, "failing/b.png", "1")
    (tmp_path / "link.png").symlink_to("unmounted.png")
    scandir, lstat = os.scandir, os.lstat

    def failing_scandir(path: str) -> object:
        if path.endswith("failing"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    def failing_lstat(path: str) -> os.stat_result:
        if path.endswith("flaky.png"):
            raise OSError(5, "Input/output error")
        return lstat(path)

    monkeypatch.setattr("sources.scan.os.scandir", failing_scandir)
    monkeypatch.setattr("sources.pruning.os.lstat", failing_lstat)
    names = ["link.png", "failing/b.png", "failing/unseen.png", "flaky.png", "x" * 300 + ".png"]

    assert await _deletable(tmp_path, *(f"{tmp_path}/{name}" for name in names)) == []


async def test_a_file_that_comes_back_meanwhile_is_kept(tmp_path: Path) -> None:
    """Between the scan and the deletion the disk is asked again."""
    _write(tmp_path, "a.png", "1")

    kept = await _deletable(tmp_path, f"{tmp_path}/b.png", changed=lambda: _write(tmp_path, "b.png", "1"))

    assert kept == []


async def test_nothing_is_deleted_when_the_folder_was_replaced(tmp_path: Path) -> None:
    """A disk that is unmounted during an ingest leaves another folder behind."""
    folder = tmp_path / "disk"
    _write(folder, "a.png", "1")

    def unmount() -> None:
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()

    with pytest.raises(SourceError, match="replaced or went away"):
        await _deletable(folder, f"{folder}/gone.png", changed=unmount)
    folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    with pytest.raises(SourceError, match="replaced or went away"):
        await _deletable(folder, f"{folder}/gone.png", changed=lambda: folder.rename(tmp_path / "away"))


@pytest.mark.parametrize("name", ["", "none"])
async def test_an_empty_folder_is_pruned_only_when_asked_by_name(tmp_path: Path, name: str) -> None:
    """An unmounted disk is an empty folder, or none."""
    folder = tmp_path / name
    scan = FolderScan(folder, missing_ok=True)
    files = dict.fromkeys(scan)
    collection = Collection({f"{folder}/a.png": Stored(f"{folder}/a.png", "1")})
    with pytest.raises(SourceError, match="unmounted disk"):
        Pruning[Stored](scan, files)
    pruning: Pruning[Stored] = Pruning(scan, files, empty_ok=True)
    await pruning.find(collection.all)

    assert pruning.deletable() == [f"{folder}/a.png"]
