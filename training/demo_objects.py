"""Owns the sheet of objects in photos that may be copied: those of the demonstration."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from domain.box import Box
from training.average_precision import MOST_DETECTIONS
from training.decoded import open_image
from training.objects.detector import SHOWN_SCORE
from training.serving import Query, Served
from training.sheet import Row, write_sheet

PHOTOS = Path("cli/photos")
COLLECTION = "demo_objects"
SHEET_ROWS, SHEET_HITS = 5, 4


def draw_demo_objects(served: Served, detector: str, encoder: str, path: Path) -> None:
    """Draw an object of each kind that several photos show, with the photos that come first for it.

    An object is asked for by its box; the photo that it is in is left out of the answers.
    """
    kinds = _kinds()
    images = {name: (PHOTOS / name).read_bytes() for name in kinds}
    served.fill(COLLECTION, images.items(), encoder=encoder, detector=detector)
    rows: list[Row] = []
    asked: set[str] = set()
    for name, kind in kinds.items():
        found = served.detect(detector, images[name], min_score=SHOWN_SCORE, limit=MOST_DETECTIONS)
        box = next((each.box for each in found if each.label == kind), None)
        if box is None or kind in asked or Counter(kinds.values())[kind] == 1:
            continue
        asked.add(kind)
        [hits] = served.search(COLLECTION, [Query(image=images[name], region=box)], limit=SHEET_HITS + 1)
        first = [hit.uri for hit in hits if hit.uri != name][:SHEET_HITS]
        shown = [(open_image(PHOTOS / other), kinds[other] == kind) for other in first]
        rows.append(Row((kind, _cut(open_image(PHOTOS / name), box)), shown))
    write_sheet(rows[:SHEET_ROWS], path)


def _kinds() -> dict[str, str]:
    """The kind of each photo."""
    lines = (PHOTOS / "photos.jsonl").read_text(encoding="utf-8").splitlines()
    return {photo["file"]: photo["metadata"]["kind"] for photo in map(json.loads, lines)}


def _cut(image: Image.Image, box: Box) -> Image.Image:
    x_min, y_min, x_max, y_max = np.asarray(box) * (image.size * 2)
    return image.crop((int(x_min), int(y_min), round(x_max), round(y_max)))
