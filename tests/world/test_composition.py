import numpy as np
import pytest
from PIL import Image

from world.composition import compose_scene, cut_out

SIZE = (240, 180)
CANVAS = (255, 0, 255)


@pytest.mark.parametrize("number", range(8))
def test_boxes_are_tight(number: int) -> None:
    """Nothing is painted outside the boxes, and each edge of a box touches what was painted."""
    blank = Image.new("RGB", SIZE, CANVAS)
    composed = compose_scene(blank, np.random.default_rng([4, number]), SIZE)
    painted = (np.asarray(composed.image) != CANVAS).any(axis=2)

    outside = painted.copy()
    for item in composed.objects:
        x_min, y_min, x_max, y_max = np.round(np.asarray(item.box) * (SIZE * 2)).astype(int)
        inside = painted[y_min:y_max, x_min:x_max]
        assert all(edge.any() for edge in (inside[:2], inside[-2:], inside[:, :2], inside[:, -2:])), item
        # Faint edges of a shape may reach a pixel beyond the box, which is drawn around what one sees.
        outside[max(0, y_min - 2) : y_max + 2, max(0, x_min - 2) : x_max + 2] = False
    assert not outside.any()


def test_clutter_is_behind_the_objects_and_no_object() -> None:
    """Cut-outs change the image, the truth does not tell of them, and the objects lie over them."""
    blank, photo = Image.new("RGB", SIZE, CANVAS), Image.new("RGB", (90, 60), (0, 255, 0))
    scene = compose_scene(blank, np.random.default_rng(5), SIZE, clutter=[photo] * 12)

    pixels = np.asarray(scene.image)
    assert (pixels == (0, 255, 0)).all(axis=2).mean() > 0.1
    assert len(scene.objects) == len(scene.placed) <= 6
    for item in scene.placed:
        middle = (item.left + item.sprite.width // 2, item.top + item.sprite.height // 2)
        inside = item.sprite.getpixel((item.sprite.width // 2, item.sprite.height // 2))
        if isinstance(inside, tuple) and inside[3] == 255 and 0 <= middle[0] < SIZE[0] and 0 <= middle[1] < SIZE[1]:
            assert scene.image.getpixel(middle) == inside[:3]


def test_cut_outs_have_an_outline() -> None:
    """A part of the photo as long as asked, opaque within and clear at its corners, in several shapes."""
    photo = Image.new("RGB", (90, 60), (0, 255, 0))
    pieces = [cut_out(photo, 40, np.random.default_rng(number)) for number in range(12)]

    for piece in pieces:
        alpha = np.asarray(piece.getchannel("A"))
        assert 40 <= max(piece.size) <= 40 * 1.45
        assert alpha.max() == 255
        assert alpha[0, 0] < 128
    assert len({piece.tobytes() for piece in pieces}) == len(pieces)
