"""Image roots read images below themselves and nothing else."""

import os
from pathlib import Path

import pytest

from sources.errors import MissingSourceError, OutsideRootsError, SourceError
from sources.roots import ImageRoots

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.jpg").write_bytes(b"image")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return root


@pytest.fixture
def roots(root: Path) -> ImageRoots:
    return ImageRoots([root])


def test_reads_absolute_relative_and_file_urls(root: Path, roots: ImageRoots) -> None:
    """A path below a root can be named in three ways."""
    path = root / "sub" / "a.jpg"
    for uri in (str(path), "sub/a.jpg", path.as_uri()):
        assert roots.read(uri, MIB) == b"image"
        assert roots.resolve(uri) == path.resolve()


def test_resolves_folders(root: Path, roots: ImageRoots) -> None:
    """A folder below a root resolves, and the root itself does."""
    assert roots.resolve("sub") == (root / "sub").resolve()
    assert roots.resolve(str(root)) == root.resolve()


@pytest.mark.parametrize("name", ["ﬀä 写真.jpg", "a b+%20#?.jpg", "e\u0301.jpg", "\u202egpj.exe.jpg", "'quo\"te\n.jpg"])
def test_reads_names_of_any_script(root: Path, roots: ImageRoots, name: str) -> None:
    """A name is taken as it is: no normalising, no decoding."""
    (root / name).write_bytes(b"named")
    assert roots.read(name, MIB) == b"named"
    assert roots.read((root / name).as_uri(), MIB) == b"named"


@pytest.mark.parametrize(
    "uri",
    [
        "../secret.txt",
        "sub/../../secret.txt",
        "sub/../sub/a.jpg",
        "/etc/passwd",
        "file:///etc/passwd",
        "file:///%2e%2e/secret.txt",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/",
    ],
)
def test_refuses_what_is_outside(roots: ImageRoots, uri: str) -> None:
    """Nothing outside the roots is read, and the answer does not tell whether it exists."""
    with pytest.raises(OutsideRootsError):
        roots.read(uri, MIB)


@pytest.mark.parametrize(
    "uri", ["", "a\0.jpg", "x" * 5000, "http://host/a.jpg", "s3://bucket/a.jpg", "file://host/a.jpg"]
)
def test_refuses_what_is_no_path(roots: ImageRoots, uri: str) -> None:
    """A uri that is not a path is refused with one sentence."""
    with pytest.raises(SourceError, match=r"path|url"):
        roots.read(uri, MIB)


def test_refuses_encoded_nul(roots: ImageRoots) -> None:
    """A NUL hidden in a file url is found."""
    with pytest.raises(SourceError):
        roots.read("file:///a%00.jpg", MIB)


def test_names_missing_files(roots: ImageRoots) -> None:
    """A path below a root without a file is missing, not outside."""
    for uri in ("sub/none.jpg", "sub/a.jpg/deeper.jpg"):
        with pytest.raises(MissingSourceError):
            roots.read(uri, MIB)


def test_links_inside_are_followed_and_links_out_are_not(tmp_path: Path, root: Path, roots: ImageRoots) -> None:
    """A link may rename an image, not lead out."""
    (root / "inside.jpg").symlink_to("sub/a.jpg")
    (root / "outside.jpg").symlink_to(tmp_path / "secret.txt")
    (root / "outfolder").symlink_to(tmp_path)
    (root / "loop.jpg").symlink_to("loop.jpg")
    assert roots.read("inside.jpg", MIB) == b"image"
    for uri in ("outside.jpg", "outfolder/secret.txt"):
        with pytest.raises(OutsideRootsError):
            roots.read(uri, MIB)
    with pytest.raises(SourceError):
        roots.read("loop.jpg", MIB)


def test_a_root_may_be_a_link(tmp_path: Path, root: Path) -> None:
    """A root that is a link has both of its names."""
    link = tmp_path / "link"
    link.symlink_to(root)
    roots = ImageRoots([link])
    assert roots.read(str(link / "sub" / "a.jpg"), MIB) == b"image"
    assert roots.read(str(root / "sub" / "a.jpg"), MIB) == b"image"


def test_kernel_files_are_refused_below_any_root() -> None:
    """Even the root / does not include /proc."""
    with pytest.raises(OutsideRootsError):
        ImageRoots(["/"]).read("/proc/self/environ", MIB)


def test_reads_regular_files_only(root: Path, roots: ImageRoots) -> None:
    """A pipe does not hang the reader, and a folder is not an image."""
    os.mkfifo(root / "pipe.jpg")
    for uri in ("pipe.jpg", "sub", str(root)):
        with pytest.raises(SourceError, match="regular"):
            roots.read(uri, MIB)


def test_caps_the_size(roots: ImageRoots) -> None:
    """A file may have the allowed size and not a byte more."""
    assert roots.read("sub/a.jpg", 5) == b"image"
    with pytest.raises(SourceError, match="larger than 4 bytes"):
        roots.read("sub/a.jpg", 4)


def test_tells_the_size_without_reading(root: Path, roots: ImageRoots) -> None:
    """The size of a file is known beforehand; a path without one fails as in reading."""
    assert roots.size("sub/a.jpg") == 5
    with pytest.raises(MissingSourceError):
        roots.size("none.jpg")
    with pytest.raises(OutsideRootsError):
        roots.size("/etc/hostname")
    with pytest.raises(SourceError):
        roots.size("x" * 256)


def test_without_roots_nothing_is_read(root: Path) -> None:
    """No root means no reading by path."""
    with pytest.raises(OutsideRootsError):
        ImageRoots([]).read(str(root / "sub" / "a.jpg"), MIB)


def test_first_root_that_has_the_file_wins(tmp_path: Path, root: Path) -> None:
    """A relative path is looked for in each root in turn."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.jpg").write_bytes(b"other")
    assert ImageRoots([root, other]).read("b.jpg", MIB) == b"other"
