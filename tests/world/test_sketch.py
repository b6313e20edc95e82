import numpy as np
import pytest
from PIL import ImageFilter

from world.kinds import KINDS
from world.outline import outline_of, parts_of
from world.scene import Scene, draw_scene
from world.sketch import draw_sketch

SIZE = (320, 240)


def scene(number: int) -> Scene:
    return draw_scene(np.random.default_rng([5, number]), SIZE)


def test_same_generator_same_sketch() -> None:
    """A sketch is the same to the last pixel for the same generator, and another hand draws another one."""
    first, again, other = (draw_sketch(scene(0), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("number", range(4))
def test_few_dark_strokes_on_white(number: int) -> None:
    """Nearly all of the paper stays white, and what is drawn lies where something is in the scene, or was drawn loosely."""
    drawn = scene(number)
    sketch = draw_sketch(drawn, np.random.default_rng(number))
    levels = np.asarray(sketch)
    assert sketch.mode == "L"
    assert 0.003 < (levels < 128).mean() < 0.15

    occupied = np.zeros(levels.shape, bool)
    for item in drawn.objects:
        x_min, y_min, x_max, y_max = (np.asarray(item.box) * (SIZE * 2)).astype(int)
        occupied[max(0, y_min - 40) : y_max + 40, max(0, x_min - 45) : x_max + 45] = True
    assert drawn.setting is not None
    horizon = round(drawn.setting.horizon * SIZE[1])
    occupied[horizon - 45 : horizon + 45] = True
    assert (levels[~occupied] < 128).mean() < 0.01


def test_a_sketch_says_nothing_of_colours() -> None:
    """Objects of other colours have the same outline."""
    outlines = [
        outline_of(KINDS["car"].sprite(colour, 60, np.random.default_rng(3))) for colour in ("red", "blue", "white")
    ]
    for outline in outlines[1:]:
        np.testing.assert_allclose(outline, outlines[0], atol=1e-6)


@pytest.mark.parametrize("label", KINDS)
def test_outlines_go_round_their_sprites(label: str) -> None:
    """The outline closes and reaches about as far as the sprite, thin ropes left out; a few parts lie inside."""
    kind = KINDS[label]
    sprite = kind.sprite(kind.colours[0], 90, np.random.default_rng(1))
    outline = outline_of(sprite)
    np.testing.assert_allclose(outline[0], outline[-1])
    assert (np.abs(outline.min(axis=0)) < 0.12).all()
    assert (np.abs(outline.max(axis=0) - 1) < 0.3).all()
    for part in parts_of(sprite):
        assert (part > -0.12).all()
        assert (part < 1.12).all()


def test_what_stands_in_front_hides_what_is_behind() -> None:
    """Blurred a little, no sketch turns black: lines do not pile up inside objects."""
    soft = draw_sketch(scene(3), np.random.default_rng(0)).filter(ImageFilter.BoxBlur(12))
    assert np.asarray(soft).min() > 60
