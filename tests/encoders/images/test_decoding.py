import numpy as np
import pytest
from PIL import Image, ImageChops, ImageCms

from encoders.errors import InvalidContent
from encoders.images.decoding import DECODER_REVISION, decode, decodes_alike, probe
from tests.support.images import (
    COLOURS,
    HOSTILE,
    corners,
    drawing,
    encoded,
    plain,
    quarters,
    turned,
    without_adobe_marker,
)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def assert_shows_corners(pixels: np.ndarray, tolerance: int = 6) -> None:
    expected = np.asarray([COLOURS[colour] for colour in ("red", "green", "blue", "yellow")])
    assert np.abs(np.asarray(quarters(pixels)) - expected).max() <= tolerance


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_accepted_format_is_decoded(file_format: str) -> None:
    """Each format of the whitelist shows the same image, and its header says so without decoding."""
    data = encoded(corners(), file_format)

    image, header = decode(data), probe(data)

    assert_shows_corners(image.pixels)
    assert (header.format, header.width_px, header.height_px) == (file_format, 96, 64)
    assert (image.width_px, image.height_px, image.warnings) == (96, 64, ())


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied(file_format: str, orientation: int) -> None:
    """An image stored in any orientation comes out upright; 0 and 9 mean nothing."""
    data = turned(corners(), orientation, file_format)

    image, header = decode(data), probe(data)

    assert_shows_corners(image.pixels)
    assert (image.width_px, image.height_px) == (header.width_px, header.height_px) == (96, 64)


def test_broken_exif_does_not_spoil_the_image() -> None:
    """An image with damaged EXIF is read as it is stored."""
    assert_shows_corners(decode(encoded(corners(), "JPEG", exif=b"Exif\0\0garbage!!")).pixels)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_get_one_sentence(name: str) -> None:
    """Bytes that are not a usable image are refused in words for the caller."""
    data, words = HOSTILE[name]

    with pytest.raises(InvalidContent, match=words) as refused:
        decode(data)

    assert str(refused.value).count(".") <= 1


@pytest.mark.parametrize("file_format", FORMATS)
def test_any_cut_is_refused_or_read(file_format: str) -> None:
    """Wherever a file breaks off, the answer is an image or a refusal and nothing else."""
    data = encoded(corners(), file_format)
    for length in range(0, len(data), max(1, len(data) // 150)):
        try:
            assert decode(data[:length]).pixels.shape == (64, 96, 3)
        except InvalidContent:
            continue


def test_transparency_shows_white() -> None:
    """A drawing board's transparent ground is white, its strokes stay dark."""
    pixels = decode(encoded(drawing())).pixels

    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() == 0


def test_transparent_palette_shows_white() -> None:
    """A transparent colour of a palette is white too."""
    image = plain("red").convert("P", palette=Image.Palette.ADAPTIVE)
    image.info["transparency"] = image.getpixel((0, 0))

    assert decode(encoded(image)).pixels.min() == 255


def test_cmyk_with_and_without_adobe_marker() -> None:
    """Adobe stores inks inverted, everybody else does not; both look the same."""
    cmyk = corners().convert("CMYK")

    assert_shows_corners(decode(encoded(cmyk, "JPEG")).pixels)
    assert_shows_corners(decode(without_adobe_marker(encoded(ImageChops.invert(cmyk), "JPEG"))).pixels)
    assert_shows_corners(decode(encoded(cmyk, "TIFF")).pixels)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_shades(file_format: str) -> None:
    """16-bit grey keeps its gradient instead of turning white."""
    ramp = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)) * 16

    pixels = decode(encoded(Image.fromarray(ramp), file_format)).pixels

    assert np.array_equal(pixels[..., 0], ramp >> 8)


def test_palette_and_grey_are_converted() -> None:
    """Palette images keep their colours, grey ones get three equal channels."""
    palette = decode(encoded(corners().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")).pixels
    grey = decode(encoded(corners().convert("L"), "JPEG")).pixels

    assert_shows_corners(palette)
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_floating_point_pixels_are_refused() -> None:
    """A measurement stored as TIFF is not a photo."""
    data = encoded(Image.fromarray(np.ones((8, 8), dtype=np.float32)), "TIFF")

    with pytest.raises(InvalidContent, match="floating-point"):
        decode(data)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_animations_show_their_first_frame(file_format: str) -> None:
    """The first frame of several is read, and a warning says so."""
    data = encoded(corners(), file_format, save_all=True, append_images=[plain("red"), plain("blue")])

    image = decode(data)

    assert_shows_corners(image.pixels)
    assert image.warnings == ("only the first frame was read",)


def test_large_jpeg_is_decoded_at_a_fraction() -> None:
    """A JPEG is decoded no larger than needed, yet with twice the pixels that are enough, and reports its real size."""
    data = turned(corners().resize((1800, 1200)), 6)

    image = decode(data, enough_px=(224, 224))

    assert image.pixels.shape == (600, 900, 3)
    assert (image.width_px, image.height_px) == (1800, 1200)
    assert_shows_corners(image.pixels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_profile_is_found_in_the_header(file_format: str) -> None:
    """Every format that can carry a profile tells whether it does, also where the pixels are cut off."""
    with_profile = encoded(plain("red"), file_format, icc_profile=PROFILE)
    assert decodes_alike(encoded(plain("red"), file_format), DECODER_REVISION - 1)
    assert not decodes_alike(with_profile, DECODER_REVISION - 1)
    assert decodes_alike(with_profile, DECODER_REVISION)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", bytes(100)])
def test_what_is_not_an_image_has_no_profile(data: bytes) -> None:
    """Broken bytes are not an error here: the decoder says what is wrong with them."""
    assert decodes_alike(data, 1)
