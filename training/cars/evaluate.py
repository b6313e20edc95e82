"""Measures the bundle on the test split: what a road camera saw looks for the web's photos of that model."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Bundle
from training.cars.export import NAME
from training.cars.photos import TestPhotos
from training.decoded import decoded, open_image
from training.embed import embed
from training.evaluation import Evaluation, Sample, spread
from training.lopq.fit import LopqConfig, fit
from training.lopq.index import LopqIndex
from training.metrics import QueryFigures, evaluate_scores, neighbour_recall, same_label
from training.serving import Query, Served

KS, CUTOFF = (1, 5, 10, 20), 20

Floats = NDArray[np.float32]


class CarsEvaluation(Evaluation):
    """The test split of CompCars, or of what is drawn in its layout."""

    collection, encoder, limit = "cars", NAME, CUTOFF

    def __init__(self, photos: TestPhotos) -> None:
        super().__init__({car.name: car.path for car in photos.gallery})
        self.photos = photos

    def offline(self, models: Path) -> dict[str, float]:
        """Search exactly and by codes; the figures of LOPQ begin with `lopq_`."""
        bundle = Bundle.load(models / NAME)
        gallery, queries = (
            embed(bundle, list(decoded([car.path for car in cars], bundle.image_preprocessing)))
            for cars in (self.photos.gallery, self.photos.queries)
        )
        exact = queries @ gallery.T
        coded = lopq_scores(gallery, queries)
        top = [np.argsort(-scores, axis=1, kind="stable")[:, :CUTOFF] for scores in (exact, coded)]
        return {
            **self._figures(exact),
            **{f"lopq_{name}": share for name, share in self._figures(coded).items()},
            "lopq_recall20": neighbour_recall(top[1], top[0]),
        }

    def online(self, served: Served) -> dict[str, float]:
        """Ask with every query."""
        self.ingest(served)
        return self._figures(self.scores(served, [Query(image=car.path.read_bytes()) for car in self.photos.queries]))

    def samples(self) -> list[Sample]:
        return [
            Sample(
                Query(image=car.path.read_bytes()),
                open_image(car.path),
                {found.name for found in self.photos.gallery if found.model_id == car.model_id},
            )
            for car in spread(self.photos.queries)
        ]

    def _figures(self, scores: Floats) -> dict[str, float]:
        is_relevant = same_label(self.photos.query_labels, self.photos.gallery_labels)
        return summary(evaluate_scores(scores, is_relevant, ks=KS, cutoff=CUTOFF))


def lopq_scores(gallery: Floats, queries: Floats) -> Floats:
    """Minus the squared distances by codes of 16 bytes, (Q, G): no embedding is looked at again."""
    count, width = gallery.shape
    model = fit(gallery, LopqConfig(dimension=min(64, width), clusters=4, parts=16, centroids=min(256, count // 4)))
    index = LopqIndex(model)
    index.add(np.arange(count), gallery)
    scores = np.empty((len(queries), count), np.float32)
    for row, query in zip(scores, queries, strict=True):
        found = index.search(query, limit=count, quota=count)
        row[found.ids] = -found.distances
    return scores


def summary(figures: QueryFigures) -> dict[str, float]:
    """Recall, and mAP@20 in both normalisations: by what could be found, and as published, by what was."""
    return {
        **{f"r{k}": figures.recall(k) for k in KS},
        "map20": float(figures.ap_at_k.mean()),
        "map_found20": float(figures.ap_found_at_k.mean()),
    }
