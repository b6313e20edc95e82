import numpy as np
import pytest
from PIL import Image, ImageChops

from domain.box import Box
from encoders.bundle import Preprocessing, Resize
from encoders.errors import InvalidContent
from encoders.images.decoding import decode, probe
from encoders.images.resizing import crop, enough_px, is_blank, resize
from tests.support.images import (
    COLOURS,
    HOSTILE,
    blocks,
    corners,
    drawing,
    encoded,
    plain,
    turned,
    without_adobe_marker,
)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def quarters(pixels: np.ndarray) -> list[tuple[int, int, int]]:
    """The colours in the middle of the four quarters, left to right, top to bottom."""
    height_px, width_px = pixels.shape[:2]
    return [tuple(pixels[height_px * y // 4, width_px * x // 4].tolist()) for y in (1, 3) for x in (1, 3)]


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


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
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


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
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


def test_a_small_region_keeps_its_pixels() -> None:
    """The smaller the region, the more of the whole image must be decoded."""
    header = probe(encoded(plain(size=(2000, 1000))))

    assert enough_px(header, [None], Preprocessing(size=(224, 224))) == (224, 224)
    assert enough_px(header, [None, (0.5, 0, 0.75, 0.5)], Preprocessing(size=(224, 224))) == (896, 448)


@pytest.mark.parametrize(
    "box",
    [(float("nan"), 0, 1, 1), (0.5, 0, 0.5, 1), (0.6, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.01), (0, 0.9, 1, 0.1)],
)
def test_impossible_regions_are_refused(box: Box) -> None:
    """A region is a rectangle inside the image."""
    with pytest.raises(InvalidContent, match="region"):
        crop(np.zeros((10, 10, 3), dtype=np.uint8), box)


def test_regions_are_cut_in_upright_coordinates() -> None:
    """The upper right quarter is green however the image is stored; the tiniest region has a pixel."""
    pixels = decode(turned(corners(), 8)).pixels

    assert np.abs(np.asarray(quarters(crop(pixels, (0.5, 0, 1, 0.5)))) - COLOURS["green"]).max() < 6
    assert crop(pixels, (0.999999, 0.999999, 1, 1)).shape == (1, 1, 3)


def test_resizing_is_pillows() -> None:
    """The published results of a model hold, because resizing is Pillow's antialiased bilinear, byte for byte."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), dtype=np.uint8)

    resized = resize(noise, Preprocessing(size=(64, 48)))

    assert np.array_equal(resized, np.asarray(Image.fromarray(noise).resize((64, 48), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize(
    ("how", "left", "middle"),
    [("squash", "red", "red"), ("letterbox", "black", "red"), ("shortest_crop", "red", "red")],
)
def test_each_way_of_resizing_fills_the_input(how: Resize, left: str, middle: str) -> None:
    """Squash and crop fill the input, letterbox pads a portrait at its sides."""
    preprocessing = Preprocessing(size=(32, 32), resize=how, fill=(0, 0, 0))

    resized = resize(decode(encoded(plain("red", size=(50, 100)))).pixels, preprocessing)

    assert resized.shape == (32, 32, 3)
    assert resized[16, 0].tolist() == list(COLOURS[left])
    assert resized[16, 16].tolist() == list(COLOURS[middle])


def test_cropping_keeps_the_middle() -> None:
    """The middle of the longer side stays, as torchvision's Resize and CenterCrop keep it."""
    image = blocks({"red": (0.25, 0, 0.75, 1)}, size=(400, 200))

    resized = resize(np.asarray(image), Preprocessing(size=(32, 32), resize="shortest_crop", shorter_side_px=36))

    assert (resized == COLOURS["red"]).all()


def test_blank_drawings_differ_from_strokes() -> None:
    """One thin stroke is enough."""
    assert is_blank(decode(encoded(Image.new("RGBA", (32, 32), (0, 0, 0, 0)))).pixels)
    assert is_blank(np.full((32, 32, 3), 250, dtype=np.uint8))
    assert not is_blank(decode(encoded(drawing())).pixels)
