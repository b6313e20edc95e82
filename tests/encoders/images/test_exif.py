"""What a camera wrote is read from every format, and what is hostile or broken counts as absent."""

from collections.abc import Callable

import pytest
from PIL import ExifTags, Image

from domain.exif import NO_EXIF
from encoders.images.decoding import open_image
from encoders.images.exif import MAX_EXIF_BYTES
from tests.support.images import encoded, heic, photo, plain

DETAILS, LOCATION = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
FACTS = {"taken": "2024-05-01T12:30:00", "camera": "Fovea F1", "lens": "26mm f/1.8"}


def known(data: bytes) -> dict[str, str | float]:
    return open_image(data).exif().known


def with_exif(change: Callable[[Image.Exif], object], file_format: str = "JPEG") -> dict[str, str | float]:
    """What is known of an image whose EXIF was changed."""
    exif = Image.Exif()
    exif.load(open_image(photo())._image.info["exif"])
    change(exif)
    return known(encoded(plain("red"), file_format, exif=exif))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_facts_are_read_from_every_format(file_format: str) -> None:
    """Date, camera, lens and place stand in the header, wherever the format keeps it."""
    assert with_exif(lambda _: None, file_format) == FACTS | {"latitude": 48.141667, "longitude": -11.566667}


def test_facts_are_read_from_heic() -> None:
    """HEIC keeps EXIF as an item of its own."""
    assert known(heic("turned")) == {
        "taken": "2024-05-01T12:30:00",
        "camera": "Fovea F1",
        "lens": "Fovea 26mm f/1.8",
        "latitude": 48.141667,
        "longitude": 11.566667,
    }
    assert open_image(heic("corners")).exif() == NO_EXIF


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("Cafe\u0301", "\u00e9 \x07\n1\0rest", "Café é 1"),
        ("x" * 300, "y", "x" * 128),
    ],
)
def test_the_camera_has_one_name(make: str, model: str, camera: str) -> None:
    """Make and model are one text, composed, bounded and without control characters."""
    raw = photo(camera=("#" * len(make.encode()), "~" * len(model.encode())))
    data = raw.replace(b"#" * len(make.encode()), make.encode()).replace(b"~" * len(model.encode()), model.encode())
    assert known(data)["camera"] == camera


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "2024:13:01 00:00:00", "1200:01:01 00:00:00", "soon", ""])
def test_a_date_that_is_none_counts_as_absent(taken: str) -> None:
    """Cameras without a set clock write zeros."""
    assert "taken" not in known(photo(taken=taken))


@pytest.mark.parametrize(
    "location",
    [
        {1: "N", 2: (91.0, 0.0, 0.0)},
        {1: "X", 2: (48.0, 0.0, 0.0)},
        {1: "N", 2: (48.0, 0.0)},
        {2: (48.0, 0.0, 0.0), 1: b"\xff"},
    ],
)
def test_a_location_out_of_range_counts_as_absent(location: dict[int, object]) -> None:
    """A place has both numbers in their ranges, or it is none; the rest is kept."""

    def change(exif: Image.Exif) -> None:
        exif.get_ifd(LOCATION).update(location)

    assert with_exif(change) == FACTS


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_broken_exif_is_no_failure() -> None:
    """EXIF that is garbage, endless or huge is passed over."""
    whole = photo()
    start = whole.index(b"Exif\0\0") + 6
    for position in range(start, whole.index(b"26mm")):
        known(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
    assert known(encoded(plain("red"), "JPEG", exif=b"Exif\0\0garbage!!")) == {}
    assert known(encoded(plain("red"), "PNG", exif=b"Exif\0\0II*\0" + bytes(MAX_EXIF_BYTES))) == {}
