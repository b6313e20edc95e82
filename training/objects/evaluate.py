"""Measures the detector and the search for objects on the held-out splits, in this process and through a running Fovea."""

from pathlib import Path

import numpy as np
from PIL import Image

from domain.box import Box
from encoders.bundle import Bundle
from training.average_precision import MOST_DETECTIONS
from training.config import read_config
from training.objects.answers import LEAST_SCORE
from training.objects.config import DataConfig, ObjectsConfig
from training.objects.draw import draw_held_out
from training.objects.export import BUNDLE
from training.objects.held_out import HeldOut, ObjectQuery
from training.objects.in_process import InProcess
from training.serving import Query, Served
from training.sheet import Row, write_sheet

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "training" / "configs" / "objects.toml"
# Whatever detector is measured, the shipped bundle embeds what it finds.
ENCODER = ROOT / "models" / "general"
COLLECTION = "objects"
MOST_HITS = 1000
# Below the least cosine: what was not among the hits comes behind all that was.
NOT_FOUND = -2.0
SAMPLES, SAMPLE_HITS = 5, 5


def prepare(data: Path, realdata: Path) -> None:  # noqa: ARG001  # held-out scenes need no photos
    """Draw the gallery and the queries, in VOC's layout, where they are not there whole."""
    config = read_config(SHIPPED, ObjectsConfig)
    # The list of the queries is what is drawn last.
    if not (data / "ImageSets" / "Main" / f"{config.data.queries}.txt").exists():
        draw_held_out(config, data)


def offline(
    models: Path, data: Path, config: DataConfig | None = None, *, allow_incomplete: bool = False
) -> dict[str, float]:
    """Detect, embed and compare with the bundles themselves; `config` is the dataset's, by default the shipped one's."""
    held_out = HeldOut.of(config or _shipped(), data, allow_incomplete=allow_incomplete)
    search = InProcess(Bundle.load(models / BUNDLE), Bundle.load(ENCODER))
    found = [search.detect(picture.path.read_bytes(), min_score=LEAST_SCORE) for picture in held_out.pictures]

    regions, photo_of = search.index([photo.path.read_bytes() for photo in held_out.gallery])
    queries = np.stack([search.embed(_picture(query), query.object.box) for query in held_out.queries])
    scores = np.full((len(queries), len(held_out.gallery)), NOT_FOUND, np.float32)
    for region, photo in enumerate(photo_of):
        # A photo is as near as the nearest of its objects.
        scores[:, photo] = np.maximum(scores[:, photo], queries @ regions[region])
    return {**held_out.detector_figures(found), **held_out.retrieval_figures(scores)}


def online(
    served: Served, data: Path, config: DataConfig | None = None, *, allow_incomplete: bool = False
) -> dict[str, float]:
    """Detect through the detector's RPC, ingest the gallery as objects and ask for every query's, exactly."""
    held_out = HeldOut.of(config or _shipped(), data, allow_incomplete=allow_incomplete)
    found = [
        served.detect(BUNDLE, picture.path.read_bytes(), min_score=LEAST_SCORE, limit=MOST_DETECTIONS)
        for picture in held_out.pictures
    ]
    photos = ((photo.name, photo.path.read_bytes()) for photo in held_out.gallery)
    served.fill(COLLECTION, photos, encoder=ENCODER.name, detector=BUNDLE)

    row_of = {photo.name: row for row, photo in enumerate(held_out.gallery)}
    scores = np.full((len(held_out.queries), len(row_of)), NOT_FOUND, np.float32)
    answers = served.search(COLLECTION, [_asked(query) for query in held_out.queries], limit=MOST_HITS)
    for row, answer in zip(scores, answers, strict=True):
        for hit in answer:
            row[row_of[hit.uri]] = hit.score
    return {**held_out.detector_figures(found), **held_out.retrieval_figures(scores)}


def sheet(
    served: Served, data: Path, path: Path, config: DataConfig | None = None, *, allow_incomplete: bool = False
) -> None:
    """Draw sample objects with their first hits; the collection of `online` is there."""
    held_out = HeldOut.of(config or _shipped(), data, allow_incomplete=allow_incomplete)
    photo_of = {photo.name: photo for photo in held_out.gallery}
    samples = [held_out.queries[row] for row in np.linspace(0, len(held_out.queries) - 1, SAMPLES).astype(int)]
    answers = served.search(COLLECTION, [_asked(sample) for sample in samples], limit=SAMPLE_HITS)
    rows = []
    for sample, answer in zip(samples, answers, strict=True):
        photos = [photo_of[hit.uri] for hit in answer]
        hits = [(Image.open(photo.path), sample.is_shown_in(photo)) for photo in photos]
        rows.append(Row((sample.described(), _cut(Image.open(sample.picture.path), sample.object.box)), hits))
    write_sheet(rows, path)


def _shipped() -> DataConfig:
    return read_config(SHIPPED, ObjectsConfig).data


def _picture(query: ObjectQuery) -> bytes:
    return query.picture.path.read_bytes()


def _asked(query: ObjectQuery) -> Query:
    return Query(image=_picture(query), region=query.object.box)


def _cut(picture: Image.Image, box: Box) -> Image.Image:
    x_min, y_min, x_max, y_max = np.asarray(box) * (picture.size * 2)
    return picture.crop((int(x_min), int(y_min), round(x_max), round(y_max)))
