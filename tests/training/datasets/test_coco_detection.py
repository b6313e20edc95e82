import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.datasets.coco_detection import VOC_NAMES, load_coco_detection
from training.datasets.report import DatasetError, FaultKind

WriteImage = Callable[..., Path]
CATEGORIES = [{"id": 63, "name": "couch"}, {"id": 18, "name": "dog", "supercategory": "animal"}]


def image(number: int, name: str | None = None, **changed: object) -> dict[str, Any]:
    return {"id": number, "file_name": name or f"{number}.jpg", "width": 100, "height": 50} | changed


def annotation(number: int, image_id: int, bbox: Any, category_id: int = 18, **more: object) -> dict[str, Any]:
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": bbox} | more


def write_set(root: Path, images: list[Any], annotations: list[Any], categories: Any = CATEGORIES) -> Path:
    path = root / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_boxes_are_normalized_and_gaps_close(tmp_path: Path, write_image: WriteImage) -> None:
    """Class ids follow the category ids; an image without objects is one all the same; crowds are difficult."""
    for number in (1, 2):
        write_image(f"images/{number}.jpg")
    boxes = [annotation(1, 2, [10, 5, 20, 25]), annotation(2, 2, [0, 0, 100.4, 50], 63, iscrowd=1)]
    path = write_set(tmp_path, [image(1), image(2)], boxes)

    coco = load_coco_detection(path, tmp_path / "images", renames=VOC_NAMES)

    assert coco.labels == ("dog", "sofa")
    assert [len(image.objects) for image in coco.images] == [0, 2]
    assert coco.images[1].objects[1].is_difficult
    assert coco.truths(with_difficult=True)[1].tolist() == [
        pytest.approx([0, 0.1, 0.1, 0.3, 0.6]),
        pytest.approx([1, 0, 0, 1, 1]),
    ]
    assert [len(truth) for truth in coco.truths()] == [0, 1]


def test_every_planted_fault_is_reported(tmp_path: Path, write_image: WriteImage) -> None:
    """An annotation with a fault goes alone; those of a missing image are not second fault."""
    write_image("images/1.jpg")
    images = [image(1), image(1), image(2), image(3, "../instances.json"), image(4, width=0)]
    boxes = [
        annotation(1, 1, [90, 40, 20, 5]),
        annotation(1, 1, [0, 0, 5, 5]),
        annotation(2, 2, [0, 0, 5, 5]),
        annotation(3, 99, [0, 0, 5, 5]),
        annotation(4, 1, [0, 0, 5, 5], 19),
        annotation(5, 1, [0, 0, 5]),
        annotation(6, 1, [0, 0, -5, 5]),
        annotation(7, 1, [float("nan"), 0, 5, 5]),
        annotation(8, 1, [200, 0, 5, 5]),
        annotation(9, 1, None),
    ]
    path = write_set(tmp_path, images, boxes, [*CATEGORIES, {"id": 18, "name": "cat"}])

    with pytest.raises(DatasetError, match=r"instances.json, image 2: missing file: 2.jpg is not there"):
        load_coco_detection(path, tmp_path / "images")
    coco = load_coco_detection(path, tmp_path / "images", allow_incomplete=True)

    assert [image.name for image in coco.images] == ["1.jpg"]
    assert [item.box for item in coco.images[0].objects] == [(0.9, 0.8, 1, 0.9)]
    assert coco.report.how_many() == {
        FaultKind.DUPLICATE: 3,
        FaultKind.MISSING_FILE: 1,
        FaultKind.OUTSIDE_ROOT: 1,
        FaultKind.BAD_RECORD: 7,
        FaultKind.BOX_OUTSIDE: 2,
    }


@pytest.mark.parametrize("text", ["[]", '{"images": {}}', "{", ""])
def test_another_kind_of_file_is_reported(tmp_path: Path, text: str) -> None:
    """Nothing of it can be used, so going on makes no difference."""
    (tmp_path / "instances.json").write_text(text)

    with pytest.raises(DatasetError, match="Nothing in this dataset can be used"):
        load_coco_detection(tmp_path / "instances.json", tmp_path, allow_incomplete=True)
