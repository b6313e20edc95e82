"""Owns the drawn pedestrians as a dataset: CUHK-PEDES's folder, `imgs/<camera>/*.jpg` and `reid_raw.json`.

python -m training.pedestrians draw
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from world.drawing import drawn
from world.pedestrian import draw_seen
from world.pedestrian_captions import describe
from world.wardrobe import draw_person

LIST = "reid_raw.json"


@dataclass(frozen=True, slots=True)
class Split:
    """`identities` people of the album `seed`, each seen by `images` cameras, under ids from `first_id`."""

    name: str
    seed: int
    identities: int
    images: int
    first_id: int


def write_pedestrians(folder: Path, splits: tuple[Split, ...]) -> None:
    """Draw every split; person n of an album looks the same however many are drawn."""
    records = [
        record
        for split in splits
        for person in drawn(
            partial(_write_person, folder / "imgs", split), range(split.identities), f"pedestrians, {split.name}"
        )
        for record in person
    ]
    (folder / LIST).write_text(json.dumps(records, indent=1), encoding="utf-8")


def _write_person(images: Path, split: Split, number: int) -> list[dict[str, Any]]:
    """All images of a person; returns their records."""
    rng = np.random.default_rng([split.seed, number])
    person, first_camera = draw_person(rng), int(rng.integers(6))
    records = []
    for shot in range(split.images):
        rng = np.random.default_rng([split.seed, number, shot + 1])
        image, sight = draw_seen(person, first_camera + shot, rng)
        name = f"{sight.camera.name}/{split.first_id + number:05}_{shot}.jpg"
        path = images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=sight.camera.quality)
        captions = list(describe(person, sight, rng))
        identity = split.first_id + number
        records.append({"split": split.name, "captions": captions, "file_path": name, "id": identity})
    return records
