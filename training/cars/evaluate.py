"""Measures the bundle on the test split, in this process, exactly and by LOPQ, and through a running Fovea."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.bundle import Bundle
from training.cars.config import ProtocolConfig, WorldConfig
from training.cars.export import NAME
from training.cars.photos import TestPhotos, load_test_photos
from training.decoded import decoded
from training.embed import embed
from training.lopq.fit import LopqConfig, fit
from training.lopq.index import LopqIndex
from training.metrics import QueryFigures, evaluate_scores, neighbour_recall, same_label
from training.serving import Query, Served
from training.sheet import Row, write_sheet
from training.world.car_dataset import Photos, write_cars

COLLECTION = "cars"
DRAWN = ProtocolConfig()
# 50 models of 10 makes: 1,000 photos in the gallery, and 500 queries.
HELD_OUT = WorldConfig(seed=7, train_models=0, test_models=50, train=Photos(0, 0, 0), test=Photos(20, 1, 10))
KS, CUTOFF = (1, 5, 10, 20), 20
# Below the least cosine: what was not among the hits comes behind all that was.
NOT_FOUND = -2.0
SAMPLES, SAMPLE_HITS = 5, 5

Floats = NDArray[np.float32]


def prepare(data: Path, realdata: Path) -> None:  # noqa: ARG001  # this system needs no photos
    """Draw the test split where no dataset is."""
    if not (data / "data").exists():
        draw_held_out(data)


def draw_held_out(folder: Path) -> None:
    """Draw what the shipped bundle is measured on: models that no run trains on, in the published layout."""
    draw(folder, HELD_OUT)


def draw(folder: Path, world: WorldConfig) -> None:
    """Draw training and test split."""
    write_cars(
        folder,
        seed=world.seed,
        train=world.train_numbers,
        test=world.test_numbers,
        train_photos=world.train,
        test_photos=world.test,
    )


def offline(
    models: Path, data: Path, protocol: ProtocolConfig = DRAWN, *, allow_incomplete: bool = False
) -> dict[str, float]:
    """Search in this process by the bundle's own preprocessing; figures of LOPQ codes begin with `lopq_`."""
    photos, bundle = load_test_photos(data, protocol, allow_incomplete=allow_incomplete), Bundle.load(models / NAME)
    preprocessing = bundle.image_preprocessing
    gallery, queries = (
        embed(bundle, list(decoded([car.path for car in cars], preprocessing)))
        for cars in (photos.gallery, photos.queries)
    )
    exact = queries @ gallery.T
    coded = lopq_scores(gallery, queries)
    top = [np.argsort(-scores, axis=1, kind="stable")[:, :CUTOFF] for scores in (exact, coded)]
    return {
        **_figures(exact, photos),
        **{f"lopq_{name}": share for name, share in _figures(coded, photos).items()},
        "lopq_recall20": neighbour_recall(top[1], top[0]),
    }


def online(
    served: Served, data: Path, protocol: ProtocolConfig = DRAWN, *, allow_incomplete: bool = False
) -> dict[str, float]:
    """Ingest the gallery and ask with every query, exactly; shares of 0..1."""
    photos = load_test_photos(data, protocol, allow_incomplete=allow_incomplete)
    served.fill(COLLECTION, ((car.name, car.path.read_bytes()) for car in photos.gallery), encoder=NAME)
    row_of = {car.name: row for row, car in enumerate(photos.gallery)}
    scores = np.full((len(photos.queries), len(photos.gallery)), NOT_FOUND, np.float32)
    asked = [Query(image=car.path.read_bytes()) for car in photos.queries]
    for row, answer in zip(scores, served.search(COLLECTION, asked, limit=CUTOFF), strict=True):
        for hit in answer:
            row[row_of[hit.uri]] = hit.score
    return _figures(scores, photos)


def sheet(
    served: Served, data: Path, path: Path, protocol: ProtocolConfig = DRAWN, *, allow_incomplete: bool = False
) -> None:
    """Draw sample queries with their first hits; the collection of `online` is there."""
    photos = load_test_photos(data, protocol, allow_incomplete=allow_incomplete)
    car_of = {car.name: car for car in photos.gallery}
    samples = [photos.queries[number] for number in np.linspace(0, len(photos.queries) - 1, SAMPLES).astype(int)]
    asked = [Query(image=sample.path.read_bytes()) for sample in samples]
    rows = [
        Row(
            Image.open(sample.path),
            [(Image.open(car_of[hit.uri].path), car_of[hit.uri].model_id == sample.model_id) for hit in answer],
        )
        for sample, answer in zip(samples, served.search(COLLECTION, asked, limit=SAMPLE_HITS), strict=True)
    ]
    write_sheet(rows, path)


def lopq_scores(gallery: Floats, queries: Floats) -> Floats:
    """Minus the squared distances that codes of 16 bytes tell, (Q, G): no embedding is looked at again."""
    count, width = gallery.shape
    model = fit(gallery, LopqConfig(dimension=min(64, width), clusters=4, parts=16, centroids=min(256, count // 4)))
    index = LopqIndex(model)
    index.add(np.arange(count), gallery)
    scores = np.empty((len(queries), count), np.float32)
    for row, query in zip(scores, queries, strict=True):
        found = index.search(query, limit=count, quota=count)
        row[found.ids] = -found.distances
    return scores


def _figures(scores: Floats, photos: TestPhotos) -> dict[str, float]:
    is_relevant = same_label(photos.query_labels, photos.gallery_labels)
    return summary(evaluate_scores(scores, is_relevant, ks=KS, cutoff=CUTOFF))


def summary(figures: QueryFigures) -> dict[str, float]:
    """Recall, and mAP@20 in both normalisations: by what could be found, and as published, by what was."""
    return {
        **{f"r{k}": figures.recall(k) for k in KS},
        "map20": float(figures.ap_at_k.mean()),
        "map_found20": float(figures.ap_found_at_k.mean()),
    }
