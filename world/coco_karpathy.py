"""Writes drawn scenes with sentences and sketches in the layout of COCO 2014 with Karpathy's split.

Scenes are named by (album, number); the splits draw from albums of their own, so that no scene is in two of them.
"""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from world.drawing import drawn
from world.kinds import LABELS
from world.scene import Scene, draw_scene
from world.sentence import write_sentences
from world.sketch import draw_sketch

# Where the published set keeps things.
LIST = "dataset_coco.json"
INSTANCES = ("annotations/instances_train2014.json", "annotations/instances_val2014.json")
SKETCHES = "sketch_jpg"
SIZE = (320, 240)
SENTENCES = 5
# COCO's ids; the kinds that it has no category for take ids that it leaves unused.
CATEGORY_IDS: Mapping[str, int] = {
    "person": 1,
    "bicycle": 2,
    "car": 3,
    "bus": 6,
    "boat": 9,
    "cat": 17,
    "dog": 18,
    "umbrella": 28,
    "ball": 37,
    "balloon": 12,
    "flower": 26,
    "house": 29,
    "tree": 30,
}
HELD_OUT = 1000
_ALBUMS = {"train": 401, "val": 402, "test": 403}
_FOLDERS = {"train": "train2014", "val": "val2014", "test": "val2014"}


def draw_test_split(folder: Path) -> None:
    """Write the test split alone, by which the bundles that ship are measured."""
    write_coco_karpathy(folder, {"test": HELD_OUT})


def write_coco_karpathy(folder: Path, counts: Mapping[str, int]) -> None:
    """Write so many scenes of each split (`train`, `val`, `test`); scene n of a split is the same whatever they are."""
    images: list[dict[str, Any]] = []
    objects: dict[str, list[dict[str, Any]]] = {"train2014": [], "val2014": []}
    for sub in (SKETCHES, "annotations", *objects):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    orders = [(coco_id, split, number) for coco_id, (split, number) in enumerate(_numbered(counts), start=1)]
    for image, found in drawn(partial(_write_scene, folder), orders, "scenes"):
        images.append(image)
        objects[image["filepath"]] += found
    (folder / LIST).write_text(json.dumps({"dataset": "coco", "images": images}))
    categories = [{"id": CATEGORY_IDS[label], "name": label} for label in LABELS]
    for file, found in zip(INSTANCES, objects.values(), strict=True):
        (folder / file).write_text(json.dumps({"annotations": found, "categories": categories}))


def _write_scene(folder: Path, order: tuple[int, str, int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Photo and sketch; returns the photo's record and those of its objects."""
    coco_id, split, number = order
    scene, images = _scene(split, number), _FOLDERS[split]
    name = f"COCO_{images}_{coco_id:012}.jpg"
    scene.image.save(folder / images / name, quality=90)
    draw_sketch(scene, _rng(split, number, 1)).save(folder / SKETCHES / name, quality=85)
    sentences = write_sentences(scene, _rng(split, number, 2), count=SENTENCES)
    objects = [
        {"image_id": coco_id, "category_id": CATEGORY_IDS[item.label], "bbox": _pixels(item.box)}
        for item in scene.objects
    ]
    return _listed(coco_id, images, name, split, sentences), objects


def _numbered(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    for split, count in counts.items():
        for number in range(count):
            yield split, number


def _scene(split: str, number: int) -> Scene:
    return draw_scene(_rng(split, number), SIZE)


def _rng(split: str, number: int, *part: int) -> np.random.Generator:
    return np.random.default_rng([_ALBUMS[split], number, *part])


def _listed(coco_id: int, images: str, name: str, split: str, sentences: Iterable[str]) -> dict[str, Any]:
    """A record of `dataset_coco.json`."""
    return {
        "filepath": images,
        "filename": name,
        "cocoid": coco_id,
        "imgid": coco_id - 1,
        "split": split,
        "sentences": [{"raw": sentence, "imgid": coco_id - 1} for sentence in sentences],
    }


def _pixels(box: tuple[float, float, float, float]) -> list[float]:
    """COCO's form of a box: left, top, width and height in pixels."""
    left, top, right, bottom = box[0] * SIZE[0], box[1] * SIZE[1], box[2] * SIZE[0], box[3] * SIZE[1]
    return [round(value, 1) for value in (left, top, right - left, bottom - top)]
