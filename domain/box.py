"""A box inside an image, in normalized coordinates."""

from typing import TypeAlias

Box: TypeAlias = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max of the upright image, each divided by its width or height: 0..1."""

WHOLE_IMAGE: Box = (0.0, 0.0, 1.0, 1.0)


def is_inside(box: Box) -> bool:
    """Whether the box has an area and lies inside the image."""
    x_min, y_min, x_max, y_max = box
    return 0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1  # NaN fails every comparison
