"""Writes scenes in the layout of COCO's detection sets: `<split>/` and `annotations/instances_<split>.json`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from world.scene import Scene, SceneObject

JPEG_QUALITY = 92


def write_coco_detection(root: Path, split: str, scenes: Iterable[tuple[str, Scene]], labels: Sequence[str]) -> None:
    """Write named scenes as one split below `root`; the JSON comes last: a split that has it is whole."""
    for folder in (split, "annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, scene) in enumerate(scenes, start=1):
        scene.image.save(root / split / f"{name}.jpg", quality=JPEG_QUALITY)
        width_px, height_px = scene.image.size
        images.append({"id": image_id, "file_name": f"{name}.jpg", "width": width_px, "height": height_px})
        for item in scene.objects:
            about = {"id": len(annotations) + 1, "image_id": image_id, "category_id": labels.index(item.label) + 1}
            annotations.append({**about, **_shape(item, scene.image.size)})
    categories = [{"id": number, "name": label, "supercategory": "drawn"} for number, label in enumerate(labels, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / f"annotations/instances_{split}.json").write_text(json.dumps(document))


def _shape(item: SceneObject, size: tuple[int, int]) -> dict[str, Any]:
    left, top, right, bottom = item.box_px(size)
    return {
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
        "attributes": {"colour": item.colour},
    }
