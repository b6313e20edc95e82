"""The reader reads images from requests and from the roots, and nothing else."""

import hashlib
from pathlib import Path

import pytest

from rpc.errors import InvalidArgument, NotFound, PermissionDenied, ServiceError
from services.ingest.item import Item, LoadedImage
from services.ingest.reader import ItemReader
from sources.roots import ImageRoots
from sources.uploads import Uploads
from tests.support.images import encoded, photo, plain

RED = encoded(plain("red", size=(30, 20)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "red.png").write_bytes(RED)
    return root


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def reader(root: Path, uploads: Path) -> ItemReader:
    return ItemReader(ImageRoots([root]), Uploads(uploads), max_bytes=1 << 20)


def read(reader: ItemReader, item: Item) -> LoadedImage:
    """Reads with the size that was asked for before."""
    return reader.read(item, reader.size_of(item))


def kept(uploads: Path) -> list[str]:
    return [path.name for path in uploads.rglob("*") if path.is_file()]


def test_reads_a_file_below_a_root(reader: ItemReader, root: Path, uploads: Path) -> None:
    """An image without bytes is read from its uri, measured and hashed; it need not be kept."""
    image = read(reader, Item(str(root / "red.png"), None, {"a": 1}))
    assert (image.data, image.width_px, image.height_px) == (RED, 30, 20)
    assert image.sha256 == hashlib.sha256(RED).hexdigest()
    assert image.metadata == {"a": 1}
    assert kept(uploads) == []


def test_exif_is_kept_as_the_settings_say(root: Path) -> None:
    """When and with what an image was taken is kept unless that is switched off, and where only on request."""
    item = Item("photo.jpg", photo(), None)
    kept = [
        ItemReader(ImageRoots([root]), None, 1 << 20, **switches).read(item, 1 << 20).exif
        for switches in ({}, {"keeps_location": True}, {"keeps_exif": False, "keeps_location": True})
    ]

    location = {"latitude": 48.141667, "longitude": -11.566667}
    facts = {"taken": "2024-05-01T12:30:00", "camera": "Fovea F1", "lens": "26mm f/1.8"}
    assert [exif.known for exif in kept] == [facts, facts | location, {}]


def test_keeps_bytes_that_lie_nowhere(reader: ItemReader, uploads: Path) -> None:
    """Bytes whose uri cannot be read are kept, so that they can be shown later."""
    image = read(reader, Item("https://host/red.png", RED, {}))
    assert image.uri == "https://host/red.png"
    assert kept(uploads) == [image.sha256]


def test_bytes_of_a_file_below_a_root_are_not_kept_twice(reader: ItemReader, root: Path, uploads: Path) -> None:
    """The same file needs no copy; another image under its name does."""
    read(reader, Item(str(root / "red.png"), RED, {}))
    assert kept(uploads) == []
    other = read(reader, Item(str(root / "red.png"), encoded(plain("blue", size=(99, 99))), {}))
    assert kept(uploads) == [other.sha256]


def test_bytes_are_not_kept_against_the_callers_wish(reader: ItemReader, root: Path, uploads: Path) -> None:
    """An image that is not to be copied is accepted with a warning that says what to do, unless it needs no copy."""
    image = read(reader, Item("/elsewhere/red.png", RED, {}, keep=False))
    assert kept(uploads) == []
    assert "--copy" in image.warnings[0]
    assert read(reader, Item(str(root / "red.png"), RED, {}, keep=False)).warnings == ()


def test_an_upload_without_a_uri_is_named_by_its_bytes(reader: ItemReader) -> None:
    """The hash is the identity if there is no uri."""
    assert read(reader, Item("", RED, {})).uri == f"sha256:{hashlib.sha256(RED).hexdigest()}"


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("../red.png", PermissionDenied),
        ("/etc/passwd", PermissionDenied),
        ("none.png", NotFound),
        ("https://host/red.png", InvalidArgument),
        ("s3://bucket/red.png", InvalidArgument),
        (".", InvalidArgument),
    ],
)
def test_what_cannot_be_read_names_the_uri(reader: ItemReader, uri: str, error: type[ServiceError]) -> None:
    """Each reason has its status and one sentence."""
    with pytest.raises(error, match=r"^item\.uri: "):
        read(reader, Item(uri, None, {}))


@pytest.mark.parametrize("data", [b"", b"no image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html></html>"])
def test_what_is_no_image_is_refused(reader: ItemReader, uploads: Path, data: bytes) -> None:
    """Bytes that are not an image are refused before anything is kept."""
    with pytest.raises(InvalidArgument, match=r"^item\.image: ") as refused:
        read(reader, Item("a", data, {}))
    assert refused.value.reason == "UNSUPPORTED_PICTURE"
    assert kept(uploads) == []


def test_a_image_over_the_limit_is_refused(reader: ItemReader, root: Path) -> None:
    """The limit holds for files and for bytes."""
    (root / "large.png").write_bytes(RED + b"\0" * (1 << 20))
    for item in (Item("large.png", None, {}), Item("large.png", RED + b"\0" * (1 << 20), {})):
        with pytest.raises(InvalidArgument, match="larger"):
            read(reader, item)
