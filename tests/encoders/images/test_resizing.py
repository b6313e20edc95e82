import numpy as np
import pytest
from PIL import Image

from domain.box import Box
from encoders.bundle import Preprocessing, Resize
from encoders.errors import InvalidContent
from encoders.images.decoding import decode, probe
from encoders.images.resizing import crop, enough_px, is_blank, resize
from tests.support.images import COLOURS, blocks, corners, drawing, encoded, plain, quarters, turned

SIDE_PX = 32


def letterboxed(width_px: int, height_px: int) -> np.ndarray:
    """An image of noise that needs no resizing, in a square input with blurred bands."""
    preprocessing = Preprocessing(size=(SIDE_PX, SIDE_PX), resize="letterbox", fill="blur")
    return resize(noise(width_px, height_px), preprocessing)


def noise(width_px: int, height_px: int) -> np.ndarray:
    return np.random.default_rng(height_px).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def box_blurred(strip: np.ndarray) -> np.ndarray:
    """The mean over 7 x 7 pixels, pixel by pixel; beyond an edge the strip is mirrored about its outermost pixels."""

    def mirrored(position: int, count: int) -> int:
        period = max(1, 2 * (count - 1))
        return min(position % period, period - position % period) if count > 1 else 0

    height_px, width_px = strip.shape[:2]
    blurred = np.empty(strip.shape)
    for y in range(height_px):
        rows = [mirrored(y + offset, height_px) for offset in range(-3, 4)]
        for x in range(width_px):
            columns = [mirrored(x + offset, width_px) for offset in range(-3, 4)]
            blurred[y, x] = strip[np.ix_(rows, columns)].mean(axis=(0, 1))
    return blurred


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


@pytest.mark.parametrize(("height_px", "above_px"), [(30, 1), (24, 4), (19, 7), (16, 8), (12, 10)])
def test_bands_are_the_blurred_strips_beside_the_image(height_px: int, above_px: int) -> None:
    """Each band repeats, blurred, the strip of its own thickness; spare rows that are odd in number go above."""
    content = noise(SIDE_PX, height_px)
    below_px = SIDE_PX - height_px - above_px

    window = letterboxed(SIDE_PX, height_px)

    np.testing.assert_array_equal(window[above_px : above_px + height_px], content)
    np.testing.assert_allclose(window[:above_px], box_blurred(content[:above_px]), atol=1)
    np.testing.assert_allclose(window[above_px + height_px :], box_blurred(content[-below_px:]), atol=1)


def test_bands_beside_a_portrait_are_those_of_the_image_on_its_side() -> None:
    """Width and height are treated alike."""
    on_its_side = noise(SIDE_PX, 21).swapaxes(0, 1)

    upright = resize(on_its_side, Preprocessing(size=(SIDE_PX, SIDE_PX), resize="letterbox", fill="blur"))

    np.testing.assert_array_equal(upright.swapaxes(0, 1), letterboxed(SIDE_PX, 21))


def test_a_band_thicker_than_the_image_is_a_copy_and_black() -> None:
    """Beyond an aspect of 3 to 1 the whole image is repeated once on each side and the rest stays black."""
    content, window = noise(SIDE_PX, 6), letterboxed(SIDE_PX, 6)

    copy = box_blurred(content)

    np.testing.assert_array_equal(window[13:19], content)
    np.testing.assert_allclose(window[7:13], copy, atol=1)
    np.testing.assert_allclose(window[19:25], copy, atol=1)
    assert not window[:7].any()
    assert not window[25:].any()


@pytest.mark.parametrize("height_px", [31, 32])
def test_an_image_that_fills_its_input_has_no_second_band(height_px: int) -> None:
    """One spare row lies above, and none is left for below."""
    window = letterboxed(SIDE_PX, height_px)

    np.testing.assert_array_equal(window[SIDE_PX - height_px :], noise(SIDE_PX, height_px))
