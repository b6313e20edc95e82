"""Measures the bundle on photos of groceries never trained on, in this process and through a running Fovea."""

from pathlib import Path

import numpy as np

from encoders.bundle import Bundle
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from training.embed import embed
from training.general.export import NAME
from training.general.validation import KS, grocery_figures, leave_one_out
from training.metrics import evaluate_scores, own_id, same_label
from training.photos import Photo, grocery_photos
from training.serving import Query, Served
from training.sheet import Row, write_sheet

COLLECTION = "general"
GROCERY = "grocery"
# Below the least cosine: what was not among the hits comes behind all that was.
NOT_FOUND = -2.0
SAMPLES, SAMPLE_HITS = 5, 5


def prepare(data: Path, realdata: Path) -> None:
    """Point from `data` to the photos, which are not drawn: a link, so that no file is copied."""
    data.mkdir(parents=True, exist_ok=True)
    if not (data / GROCERY).exists():
        (data / GROCERY).symlink_to((realdata / GROCERY).resolve(strict=True))


def offline(models: Path, data: Path) -> dict[str, float]:
    """Each photo looks for all the others of its product, by the bundle's own preprocessing; shares of 0..1."""
    bundle, photos = Bundle.load(models / NAME), _photos(data)
    pixels = [resize(decode(photo.path.read_bytes()).pixels, bundle.image_preprocessing) for photo in photos]
    return grocery_figures(leave_one_out(embed(bundle, pixels), [photo.fine for photo in photos]))


def online(served: Served, data: Path) -> dict[str, float]:
    """Ingest the photos and ask each of them, exactly; what it finds of itself is left out."""
    photos = _photos(data)
    served.fill(COLLECTION, ((str(row), photo.path.read_bytes()) for row, photo in enumerate(photos)), encoder=NAME)

    scores = np.full((len(photos), len(photos)), NOT_FOUND, np.float32)
    answers = served.search(COLLECTION, [_asked(photo) for photo in photos], limit=len(photos))
    for row, answer in zip(scores, answers, strict=True):
        for hit in answer:
            row[int(hit.uri)] = hit.score
    labels, rows = [photo.fine for photo in photos], np.arange(len(photos))
    return grocery_figures(evaluate_scores(scores, same_label(labels, labels), own_id(rows, rows), ks=KS))


def sheet(served: Served, data: Path, path: Path) -> None:
    """Draw sample photos with their first hits, themselves left out; the collection of `online` is there."""
    photos = _photos(data)
    samples = np.linspace(0, len(photos) - 1, SAMPLES).astype(int)
    answers = served.search(COLLECTION, [_asked(photos[row]) for row in samples], limit=SAMPLE_HITS + 1)
    rows = []
    for sample, answer in zip(samples, answers, strict=True):
        found = [photos[int(hit.uri)] for hit in answer if int(hit.uri) != sample][:SAMPLE_HITS]
        hits = [(photo.open(), photo.fine == photos[sample].fine) for photo in found]
        # The folder of a photo is called by its product.
        rows.append(Row((photos[sample].path.parent.name, photos[sample].open()), hits))
    write_sheet(rows, path)


def _photos(data: Path) -> list[Photo]:
    return grocery_photos(data / GROCERY, "val")


def _asked(photo: Photo) -> Query:
    return Query(image=photo.path.read_bytes())
