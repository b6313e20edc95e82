"""Owns the drawn pedestrians as a dataset: CUHK-PEDES's folder, `imgs/<camera>/*.jpg` and `reid_raw.json`.

python -m training.pedestrians draw
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from training.world.pedestrian import draw_seen
from training.world.pedestrian_captions import describe
from training.world.wardrobe import draw_person

LIST = "reid_raw.json"


@dataclass(frozen=True, slots=True)
class Split:
    """`identities` people of the album `seed`, each seen by `pictures` cameras, under ids from `first_id`."""

    name: str
    seed: int
    identities: int
    pictures: int
    first_id: int


def write_pedestrians(folder: Path, splits: tuple[Split, ...]) -> None:
    """Draw every split; person n of an album looks the same however many are drawn."""
    records = [
        record
        for split in splits
        for number in track(range(split.identities), description=f"pedestrians, {split.name}")
        for record in _write_person(folder / "imgs", split, number)
    ]
    (folder / LIST).write_text(json.dumps(records, indent=1), encoding="utf-8")


def _write_person(images: Path, split: Split, number: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([split.seed, number])
    person, first_camera = draw_person(rng), int(rng.integers(6))
    for shot in range(split.pictures):
        rng = np.random.default_rng([split.seed, number, shot + 1])
        picture, sight = draw_seen(person, first_camera + shot, rng)
        name = f"{sight.camera.name}/{split.first_id + number:05}_{shot}.jpg"
        path = images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=sight.camera.quality)
        yield {
            "split": split.name,
            "captions": list(describe(person, sight, rng)),
            "file_path": name,
            "id": split.first_id + number,
        }
