from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from training.datasets.report import DatasetError, FaultKind
from training.datasets.sketchy_coco_objects import load_sketchy_coco_objects

WriteImage = Callable[..., Path]
SCENE = "Scene/Annotation/paper_version/val"


@pytest.fixture
def write_scene(tmp_path: Path, write_image: WriteImage) -> Callable[..., None]:
    """Writes a sketch of 8 x 6 pixels and its two maps, of two sheep, one of them over grass."""
    for folder in ("CLASS_GT", "INSTANCE_GT"):
        (tmp_path / SCENE / folder).mkdir(parents=True)

    def write(name: str, **changed: np.ndarray) -> None:
        write_image(f"Scene/Sketch/paper_version/val/{name}.png", (8, 6))
        classes, instances = np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint16)
        classes[3:], instances[3:] = 17, 4
        classes[1:3, 2:4], instances[1:3, 2:4] = 10, 1
        classes[4:, 6:], instances[4:, 6:] = 10, 2
        for variable, values in ({"CLASS_GT": classes, "INSTANCE_GT": instances} | changed).items():
            savemat(tmp_path / SCENE / variable / f"{name}.mat", {variable: values})

    return write


def test_maps_become_boxes_with_labels(tmp_path: Path, write_scene: Callable[..., None]) -> None:
    """Each object by the outermost of its pixels, in normalized coordinates of the sketch; numbers may have holes."""
    write_scene("000000000042")
    write_scene("000000000007", CLASS_GT=np.zeros((6, 8)), INSTANCE_GT=np.zeros((6, 8)))

    scenes = load_sketchy_coco_objects(tmp_path, "val", expected={"images": 2, "objects": 3})

    empty, full = scenes.images
    assert (empty.name, empty.objects) == ("val/000000000007", ())
    assert [item.label for item in full.objects] == ["sheep", "sheep", "grass"]
    assert full.objects[0].box == pytest.approx((0.25, 1 / 6, 0.5, 0.5))
    assert full.objects[1].box == pytest.approx((0.75, 4 / 6, 1, 1))
    assert (full.width_px, full.height_px, scenes.labels) == (8, 6, ("grass", "sheep"))


def test_what_is_wrong_with_a_map_is_reported(tmp_path: Path, write_scene: Callable[..., None]) -> None:
    """An object of two classes or of none that is known is left out, a scene only where its maps are of no use."""
    mixed, unknown = np.full((6, 8), 10.0), np.full((6, 8), 13.0)
    mixed[3:] = 17
    whole = np.ones((6, 8))
    write_scene("good")
    write_scene("mixed", CLASS_GT=mixed, INSTANCE_GT=whole)
    write_scene("not a number", CLASS_GT=np.full((6, 8), np.nan), INSTANCE_GT=whole)
    write_scene("unknown", CLASS_GT=unknown, INSTANCE_GT=whole)
    write_scene("small", CLASS_GT=np.ones((2, 2)))
    write_scene("text", INSTANCE_GT=np.array(["one", "two"], dtype=object))
    write_scene("lost")
    (tmp_path / SCENE / "INSTANCE_GT" / "lost.mat").unlink()

    with pytest.raises(DatasetError, match=r"mixed\.png, object 1: bad record: its pixels are of the classes \[10"):
        load_sketchy_coco_objects(tmp_path, "val")
    scenes = load_sketchy_coco_objects(tmp_path, "val", allow_incomplete=True)

    assert {image.name: len(image.objects) for image in scenes.images} == {
        "val/good": 3,
        "val/mixed": 0,
        "val/not a number": 0,
        "val/unknown": 0,
    }
    assert scenes.report.how_many() == {
        FaultKind.BAD_RECORD: 4,
        FaultKind.BROKEN_FILE: 1,
        FaultKind.MISSING_FILE: 1,
    }
