import contextlib
import io
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from training.datasets.coco_detection import load_coco_detection
from world.coco_detection import write_coco_detection
from world.kinds import LABELS
from world.scene import draw_scene

SIZE = (160, 120)


def test_the_loader_reads_what_was_drawn(tmp_path: Path) -> None:
    """Without a fault, images decoded, every box to the pixel, kind and colour; COCO's own reader takes it too."""
    scenes = {f"{number:012}": draw_scene(np.random.default_rng([6, number]), SIZE) for number in range(4)}
    write_coco_detection(tmp_path, "val2017", scenes.items(), LABELS)
    file = tmp_path / "annotations/instances_val2017.json"

    coco = load_coco_detection(file, tmp_path / "val2017", decode=True)

    assert coco.report.is_complete
    assert coco.labels == LABELS
    for image, scene in zip(coco.images, scenes.values(), strict=True):
        assert [(item.label, item.attributes["colour"], item.box) for item in image.objects] == [
            (item.label, item.colour, item.box) for item in scene.objects
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        published = COCO(str(file))
    assert len(published.getAnnIds()) == sum(len(scene.objects) for scene in scenes.values())
