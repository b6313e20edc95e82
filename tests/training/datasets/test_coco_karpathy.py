import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.datasets.coco_karpathy import load_coco_karpathy
from training.datasets.report import DatasetError, FaultKind

WriteImage = Callable[..., Path]


def image(coco_id: int, split: str, folder: str = "val2014", **changed: object) -> dict[str, Any]:
    """One entry of `images` as published."""
    name = f"COCO_{folder}_{coco_id:012}.jpg"
    sentences = [{"raw": f"Scene {coco_id}.", "tokens": ["scene"]}, {"raw": "A dog asleep."}]
    return {
        "filepath": folder,
        "filename": name,
        "cocoid": coco_id,
        "split": split,
        "sentences": sentences,
        "imgid": 0,
    } | changed


def write_layout(root: Path, images: list[Any], annotations: list[Any]) -> None:
    (root / "annotations").mkdir(exist_ok=True)
    (root / "sketch_jpg").mkdir(exist_ok=True)
    (root / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    (root / "annotations/instances_train2014.json").write_text(json.dumps({"annotations": []}))
    (root / "annotations/instances_val2014.json").write_text(json.dumps({"annotations": annotations}))


def test_photos_captions_categories_and_sketches_join(tmp_path: Path, write_image: WriteImage) -> None:
    """Restval belongs to train; categories come by COCO id, sorted and once; a sketch by its photo's name."""
    images = [image(9, "train", "train2014"), image(42, "restval"), image(43, "test")]
    for row in images:
        write_image(f"{row['filepath']}/{row['filename']}")
    write_image("sketch_jpg/COCO_val2014_000000000043.jpg")
    found = [{"image_id": 43, "category_id": number} for number in (18, 1, 18)]
    write_layout(tmp_path, images, found)

    coco = load_coco_karpathy(tmp_path, expected={"train photos": 2, "test captions": 2, "test sketches": 1})

    assert coco.report.is_complete
    assert [photo.coco_id for photo in coco.of("train")] == [9, 42]
    (test,) = coco.of("test")
    assert test.category_ids == (1, 18)
    assert test.captions == ("Scene 43.", "A dog asleep.")
    assert test.sketch == (tmp_path / "sketch_jpg/COCO_val2014_000000000043.jpg").resolve()
    assert coco.of("train")[0].sketch is None


def test_every_planted_fault_is_reported(tmp_path: Path, write_image: WriteImage) -> None:
    """A test photo that nobody drew stays; what is broken, doubled or absent goes."""
    images = [
        image(1, "test"),
        image(1, "test"),
        image(2, "test"),
        image(3, "tset"),
        image(4, "train", sentences=[{"tokens": []}]),
        image(5, "train", filepath="../val2014"),
        image(6, "train", cocoid="6"),
    ]
    for number in (1, 3, 4, 5, 6):
        write_image(f"val2014/COCO_val2014_{number:012}.jpg")
    write_image("sketch_jpg/nobody.jpg")
    write_layout(tmp_path, images, [{"image_id": 1, "category_id": 91}, {"image_id": 1}])

    with pytest.raises(DatasetError, match="image 2: missing file: val2014/COCO_val2014_000000000002"):
        load_coco_karpathy(tmp_path)
    coco = load_coco_karpathy(tmp_path, allow_incomplete=True)

    assert [photo.coco_id for photo in coco.photos] == [1]
    assert coco.report.how_many() == {
        FaultKind.BAD_RECORD: 5,
        FaultKind.DUPLICATE: 1,
        FaultKind.MISSING_FILE: 1,
        FaultKind.OUTSIDE_ROOT: 1,
        FaultKind.UNPAIRED: 2,
    }


def test_a_broken_instances_file_is_reported_by_name(tmp_path: Path, write_image: WriteImage) -> None:
    """The photos remain, without categories."""
    write_image("val2014/COCO_val2014_000000000001.jpg")
    write_layout(tmp_path, [image(1, "val")], [])
    (tmp_path / "annotations/instances_val2014.json").write_bytes(b'{"annotations": [\xff')

    coco = load_coco_karpathy(tmp_path, allow_incomplete=True)

    (fault,) = coco.report.faults
    assert (fault.kind, fault.file) == (FaultKind.BROKEN_FILE, "annotations/instances_val2014.json")
    assert coco.of("val")[0].category_ids == ()
