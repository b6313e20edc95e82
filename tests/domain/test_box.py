"""Boxes in normalized coordinates."""

import math

import pytest

from domain.box import WHOLE_IMAGE, Box, is_inside


def test_the_whole_image_is_inside() -> None:
    """The largest box is one."""
    assert is_inside(WHOLE_IMAGE)


@pytest.mark.parametrize(
    "box",
    [(0.2, 0, 0.2, 1), (0.5, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1.1, 1), (0, 0.5, 1, 0.5), (0, 0, math.nan, 1)],
)
def test_boxes_without_area_or_outside_are_not(box: Box) -> None:
    """An edge outside the image, an empty box and NaN are refused."""
    assert not is_inside(box)
