"""Measures the bundle on photos of groceries never trained on: each looks for all the others of its product."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoders.bundle import Bundle
from training.decoded import decoded
from training.embed import embed
from training.evaluation import Evaluation, Sample, spread
from training.general.export import NAME
from training.general.validation import KS, grocery_figures, leave_one_out
from training.metrics import evaluate_scores, own_id, same_label
from training.photos import Photo
from training.serving import Query, Served

GROCERY = "grocery"


class GeneralEvaluation(Evaluation):
    """The validation photos of the GroceryStoreDataset, called by their rows."""

    collection, encoder = "general", NAME

    def __init__(self, photos: Sequence[Photo]) -> None:
        super().__init__({str(row): photo.path for row, photo in enumerate(photos)})
        self.photos, self.limit = photos, len(photos)
        self.labels = [photo.fine for photo in photos]

    def offline(self, models: Path) -> dict[str, float]:
        bundle = Bundle.load(models / NAME)
        pixels = decoded(list(self.gallery.values()), bundle.image_preprocessing)
        return grocery_figures(leave_one_out(embed(bundle, list(pixels)), self.labels))

    def online(self, served: Served) -> dict[str, float]:
        """What a photo finds of itself is left out."""
        self.ingest(served)
        scores = self.scores(served, [_asked(photo) for photo in self.photos])
        rows = np.arange(len(self.photos))
        is_relevant, is_own = same_label(self.labels, self.labels), own_id(rows, rows)
        return grocery_figures(evaluate_scores(scores, is_relevant, is_own, ks=KS))

    def samples(self) -> list[Sample]:
        return [
            Sample(
                _asked(photo),
                # The folder of a photo is called by its product.
                (photo.path.parent.name, photo.open()),
                {name for name, label in zip(self.gallery, self.labels, strict=True) if label == photo.fine},
                own=str(row),
            )
            for row, photo in spread(list(enumerate(self.photos)))
        ]


def _asked(photo: Photo) -> Query:
    return Query(image=photo.path.read_bytes())
