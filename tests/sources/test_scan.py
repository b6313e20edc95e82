"""A scan finds the images of a folder, always in the same order, and says what it leaves out."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.errors import PatternError, SourceError
from sources.scan import FolderScan


def _touch(path: Path, content: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _names(scan: FolderScan) -> list[str]:
    return [path.removeprefix(f"{scan.folder}/") for path in scan]


def _left_out(scan: FolderScan) -> dict[str, str]:
    """Why each name was left out."""
    return {Path(uri).name: finding.reason for finding in scan.left_out.listed() for uri in finding.uris}


def test_finds_images_below_in_order(tmp_path: Path) -> None:
    """Images of every format and case are found, sorted, and nothing else is."""
    names = ["B.JPG", "a.jpeg", "c.png", "sub/d.WebP", "sub/deep/e.tiff", "sub/写真.gif", "z.bmp", "z.tif"]
    for name in [*names, "notes.txt", "movie.mp4", ".hidden.jpg", ".git/f.jpg", "sub/.thumbs/g.jpg"]:
        _touch(tmp_path / name)
    (tmp_path / "folder.jpg").mkdir()

    found = _names(FolderScan(tmp_path))

    assert found == ["B.JPG", "a.jpeg", "c.png", "z.bmp", "z.tif", "sub/d.WebP", "sub/写真.gif", "sub/deep/e.tiff"]


def test_every_name_of_a_jpeg_is_taken(tmp_path: Path) -> None:
    """All suffixes that browsers and old programs use for JPEG are known."""
    names = ["a.jfif", "b.jpe", "c.JIF"]
    for name in names:
        _touch(tmp_path / name)

    assert _names(FolderScan(tmp_path)) == names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("burst.heics", "HEIC sequence files cannot be read"),
        ("photo.psd", "Photoshop files cannot be read"),
        ("DSC.NEF", "camera raw files cannot be read"),
        ("a.jxl", "JPEG XL files cannot be read"),
        ("notes.txt", "not an image"),
        ("no_suffix", "not an image"),
        ("broken.jpg", "leads nowhere"),
        ("out.jpg", "leads out of the folder"),
        ("loop.jpg", "leads nowhere"),
        ("linked", "link to a folder"),
        ("socket.png", "socket"),
        ("pipe.png", "pipe"),
        ("piped.png", "pipe"),
        ("\\xff.jpg", "not UTF-8"),
    ],
)
def test_what_is_left_out_is_named_with_the_reason(tmp_path: Path, name: str, said: str) -> None:
    """Every file that is left out is listed with its reason."""
    folder = tmp_path / "in"
    for kept in ("burst.heics", "photo.psd", "DSC.NEF", "a.jxl", "notes.txt", "no_suffix", "fine.jpg"):
        _touch(folder / kept)
    _touch(tmp_path / "outside.jpg")
    for link, target in (
        ("broken.jpg", "none.jpg"),
        ("out.jpg", "../outside.jpg"),
        ("loop.jpg", "loop.jpg"),
        ("linked", "."),
    ):
        (folder / link).symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    (folder / "piped.png").symlink_to("pipe.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.png"))
        scan = FolderScan(folder)
        assert _names(scan) == ["fine.jpg"]

    assert said in _left_out(scan)[name]
    assert scan.left_out.count == 14


def test_what_systems_keep_for_themselves_is_passed_over_in_silence(tmp_path: Path) -> None:
    """Thumbnails and bins of storage servers are not a person's images, nor are hidden files."""
    private = [
        "@eaDir",
        "#recycle",
        "#snapshot",
        "@Recycle",
        "$RECYCLE.BIN",
        "$Recycle.Bin",
        "__MACOSX",
        "lost+found",
        ".x",
    ]
    for folder in private:
        _touch(tmp_path / folder / "deep" / "a.jpg")
        _touch(tmp_path / "sub" / folder / "IMG.HEIC")
    _touch(tmp_path / ".hidden.jpg")
    _touch(tmp_path / "a.jpg")
    scan = FolderScan(tmp_path)

    assert _names(scan) == ["a.jpg"]
    assert scan.left_out.count == 0


def test_links_are_followed_inside_only(tmp_path: Path) -> None:
    """A link to an image inside is one, and a loop ends."""
    folder = tmp_path / "in"
    _touch(folder / "a.jpg")
    (folder / "in.jpg").symlink_to("a.jpg")
    (folder / "loop").symlink_to(folder)

    assert _names(FolderScan(folder)) == ["a.jpg", "in.jpg"]


def test_a_missing_folder_fails_at_once(tmp_path: Path) -> None:
    """The error comes with the call, not with the first image."""
    with pytest.raises(SourceError, match="not a folder"):
        FolderScan(tmp_path / "none")


def test_an_invalid_pattern_fails_at_once(tmp_path: Path) -> None:
    """A mistake in an exclusion must not include what was to be left out."""
    with pytest.raises(PatternError, match="gitignore"):
        FolderScan(tmp_path, exclude=["!"])


def test_a_folder_with_an_unusable_ignore_file_is_left_out(tmp_path: Path) -> None:
    """An ignore file that cannot be read may exclude the folder."""
    _touch(tmp_path / "a.jpg")
    _touch(tmp_path / "sub/b.jpg")
    (tmp_path / "sub/.foveaignore").mkdir()
    scan = FolderScan(tmp_path)

    assert _names(scan) == ["a.jpg"]
    assert "foveaignore cannot be read" in _left_out(scan)["sub"]


def test_ignore_files_are_read_as_people_save_them(tmp_path: Path) -> None:
    """A byte order mark and line ends of Windows are not part of a pattern."""
    _touch(tmp_path / ".foveaignore", "\ufeff*.png\r\n/drafts/\r\n# a comment\r\n!keep.png\r\n".encode())
    for name in ("a.jpg", "b.png", "keep.png", "drafts/c.jpg", "sub/drafts/d.jpg"):
        _touch(tmp_path / name)

    assert _names(FolderScan(tmp_path)) == ["a.jpg", "keep.png", "sub/drafts/d.jpg"]


_PARTS = st.sampled_from(["a", "b", "ab", "b a"])
_FILES = st.lists(_PARTS, min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".jpg")
_PIECES = st.sampled_from(["a", "b", "*", "**", "?", "[ab]", "ab", "*.jpg", "a.jpg", "b a.jpg"])
_PATTERNS = st.builds(
    lambda bang, lead, pieces, tail: bang + lead + "/".join(pieces) + tail,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(_PIECES, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@settings(max_examples=40, deadline=None)
@given(
    files=st.sets(_FILES, min_size=1, max_size=12),
    ignored=st.dictionaries(st.integers(0, 5), st.lists(_PATTERNS, max_size=3), max_size=3),
    exclude=st.lists(_PATTERNS, max_size=2),
)
def test_patterns_mean_what_they_mean_to_git(
    tmp_path_factory: pytest.TempPathFactory,
    repository: Path,
    files: set[str],
    ignored: dict[int, list[str]],
    exclude: list[str],
) -> None:
    """Nested ignore files and a caller's patterns leave exactly what git would leave, and pruning agrees."""
    root = tmp_path_factory.mktemp("tree")
    for file in files:
        _touch(root / file)
    folders = sorted({root, *(path for path in root.rglob("*") if path.is_dir())})
    for position, patterns in ignored.items():
        _touch(folders[position % len(folders)] / ".foveaignore", "\n".join(patterns).encode())
    scan = FolderScan(root, exclude=exclude)

    found = set(_names(scan))

    assert found == _left_by_git(repository, root, exclude)
    assert {file for file in files if not scan.excludes(f"{root}/{file}")} == found


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that can look at any folder."""
    repository = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    return repository


def _left_by_git(repository: Path, root: Path, exclude: list[str]) -> set[str]:
    asked = [f"--exclude={pattern}" for pattern in exclude]
    git = ["git", f"--git-dir={repository}", f"--work-tree={root}", "-c", "core.bare=false"]
    command = [*git, "ls-files", "--others", "-z", "--exclude-per-directory=.foveaignore", *asked]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return {name for name in listed.split("\0") if name.endswith(".jpg")}
