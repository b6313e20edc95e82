from pathlib import Path

import numpy as np
import pytest

from training.datasets.voc import load_voc
from world.kinds import LABELS
from world.scene import Scene, draw_scene
from world.voc import write_voc

SIZE = (160, 120)


@pytest.fixture
def scenes() -> dict[str, Scene]:
    return {f"{number:06}": draw_scene(np.random.default_rng([6, number]), SIZE) for number in range(4)}


def test_the_loader_reads_what_was_drawn(tmp_path: Path, scenes: dict[str, Scene]) -> None:
    """Without a fault, images decoded, every box to the pixel, kind and colour."""
    write_voc(tmp_path, "train", scenes.items(), LABELS)

    voc = load_voc(tmp_path, "train", labels=LABELS, decode=True)

    assert voc.report.is_complete
    assert [image.name for image in voc.images] == list(scenes)
    for image, scene in zip(voc.images, scenes.values(), strict=True):
        assert (image.width_px, image.height_px) == SIZE
        assert [(item.label, item.attributes["colour"], item.box) for item in image.objects] == [
            (item.label, item.colour, item.box) for item in scene.objects
        ]


def test_class_lists_name_every_image(tmp_path: Path, scenes: dict[str, Scene]) -> None:
    """Each class has a list of the split with 1 or -1 behind each name, and reads as the images that show it."""
    write_voc(tmp_path, "train", scenes.items(), LABELS)

    for label in LABELS:
        lines = (tmp_path / f"ImageSets/Main/{label}_train.txt").read_text().splitlines()
        assert [(line.split()[0], int(line.split()[1])) for line in lines] == [
            (name, 1 if any(item.label == label for item in scene.objects) else -1) for name, scene in scenes.items()
        ]
    label = next(iter(scenes.values())).objects[0].label
    shown = load_voc(tmp_path, f"{label}_train", labels=LABELS).images
    assert all(any(item.label == label for item in image.objects) for image in shown)


def test_splits_lie_side_by_side(tmp_path: Path, scenes: dict[str, Scene]) -> None:
    """A second split leaves the first as it is."""
    first, *rest = scenes.items()
    write_voc(tmp_path, "train", rest, LABELS)
    write_voc(tmp_path, "val", [first], LABELS)

    assert len(load_voc(tmp_path, "train", labels=LABELS).images) == 3
    assert len(load_voc(tmp_path, "val", labels=LABELS).images) == 1
    assert len(load_voc(tmp_path, None, labels=LABELS).images) == 4
