import numpy as np
import pytest

from world.kinds import KINDS
from world.scene import MOST_HIDDEN, SMALLEST_SIDE, Scene, draw_scene

SIZE = (240, 180)


def scene(number: int) -> Scene:
    return draw_scene(np.random.default_rng([3, number]), SIZE)


def test_same_seed_same_scene() -> None:
    """A scene is the same to the last pixel whenever it is drawn, and the next number is another one."""
    first, again, other = scene(0), scene(0), scene(1)
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.objects, first.setting) == (again.objects, again.setting)
    assert first.image.tobytes() != other.image.tobytes()


def test_objects_can_be_seen() -> None:
    """Every object is large enough, inside the image, and hidden by no other for the most part."""
    for number in range(12):
        boxes = np.asarray([item.box for item in scene(number).objects])
        sides = boxes[:, 2:] - boxes[:, :2]
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        assert (sides >= SMALLEST_SIDE).all()
        for index, box in enumerate(boxes):
            others = np.delete(boxes, index, axis=0)
            common = (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).clip(0).prod(axis=1)
            assert (common < MOST_HIDDEN * np.prod(box[2:] - box[:2]) + 1e-6).all()


def test_metadata_says_what_is_there() -> None:
    """The metadata names the kinds, colours and setting of the scene that it describes."""
    drawn = scene(2)
    metadata = drawn.metadata()
    assert metadata["kinds"] == sorted({item.label for item in drawn.objects})
    assert metadata["object_count"] == len(drawn.objects)
    assert drawn.setting is not None
    assert metadata["place"] == drawn.setting.location


@pytest.mark.parametrize("label", KINDS)
def test_kind_fills_its_sprite(label: str) -> None:
    """A kind is drawn in each of its colours, in another image for each, and its sprite has no empty margin."""
    kind = KINDS[label]
    sprites = {colour: kind.sprite(colour, 60, np.random.default_rng(1)) for colour in kind.colours}
    assert len({sprite.tobytes() for sprite in sprites.values()}) == len(sprites)
    for sprite in sprites.values():
        alpha = np.asarray(sprite.getchannel("A"))
        assert all(edge.max() > 96 for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]))
