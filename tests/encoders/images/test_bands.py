import numpy as np
import pytest

from encoders.bundle import Preprocessing
from encoders.images.resizing import resize

SIDE_PX = 32


def letterboxed(width_px: int, height_px: int) -> np.ndarray:
    """An image of noise that needs no resizing, in a square input with blurred bands."""
    preprocessing = Preprocessing(size=(SIDE_PX, SIDE_PX), resize="letterbox", fill="blur")
    return resize(noise(width_px, height_px), preprocessing)


def noise(width_px: int, height_px: int) -> np.ndarray:
    return np.random.default_rng(height_px).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def box_blurred(strip: np.ndarray) -> np.ndarray:
    """The mean over 7 x 7 pixels, pixel by pixel; beyond an edge the strip is mirrored about its outermost pixels."""

    def mirrored(corner: int, count: int) -> int:
        period = max(1, 2 * (count - 1))
        return min(corner % period, period - corner % period) if count > 1 else 0

    height_px, width_px = strip.shape[:2]
    blurred = np.empty(strip.shape)
    for y in range(height_px):
        rows = [mirrored(y + offset, height_px) for offset in range(-3, 4)]
        for x in range(width_px):
            columns = [mirrored(x + offset, width_px) for offset in range(-3, 4)]
            blurred[y, x] = strip[np.ix_(rows, columns)].mean(axis=(0, 1))
    return blurred


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
