"""Measures the detector, and the search for what it finds, on the held-out splits."""

from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from domain.box import Box
from encoders.bundle import Bundle
from training.average_precision import MOST_DETECTIONS
from training.evaluation import NOT_FOUND, Evaluation, Sample, spread
from training.objects.config import DataConfig
from training.objects.detector import LEAST_SCORE
from training.objects.export import BUNDLE
from training.objects.held_out import HeldOut, ObjectQuery
from training.objects.in_process import InProcess
from training.serving import Query, Served

# Whatever detector is measured, the shipped bundle embeds what it finds.
ENCODER = Path(__file__).parents[2] / "models" / "general-2"


class ObjectsEvaluation(Evaluation):
    """Photos are searched by the objects that a detector finds in them; an object of each other photo asks."""

    collection, encoder, detector = "objects", ENCODER.name, BUNDLE
    limit = 1000

    def __init__(self, held_out: HeldOut) -> None:
        super().__init__({photo.name: photo.path for photo in held_out.gallery})
        self.held_out = held_out

    @classmethod
    def read(cls, config: DataConfig, folder: Path, *, allow_incomplete: bool = False) -> Self:
        """Read the held-out splits of the dataset in `folder`."""
        return cls(HeldOut.of(config, folder, allow_incomplete=allow_incomplete))

    def offline(self, models: Path) -> dict[str, float]:
        """Detect, embed and compare with the bundles themselves."""
        held_out, search = self.held_out, InProcess(Bundle.load(models / BUNDLE), Bundle.load(ENCODER))
        found = [search.detect(image.path.read_bytes(), min_score=LEAST_SCORE) for image in held_out.images]

        regions, photo_of = search.index([photo.path.read_bytes() for photo in held_out.gallery])
        queries = np.stack([search.embed(_image(query), query.object.box) for query in held_out.queries])
        scores = np.full((len(queries), len(held_out.gallery)), NOT_FOUND, np.float32)
        for region, photo in enumerate(photo_of):
            # A photo is as near as the nearest of its objects.
            scores[:, photo] = np.maximum(scores[:, photo], queries @ regions[region])
        return {**held_out.detector_figures(found), **held_out.retrieval_figures(scores)}

    def online(self, served: Served) -> dict[str, float]:
        """Detect through the detector's RPC, ingest the gallery as objects and ask for every query's."""
        found = [
            served.detect(BUNDLE, image.path.read_bytes(), min_score=LEAST_SCORE, limit=MOST_DETECTIONS)
            for image in self.held_out.images
        ]
        self.ingest(served)
        scores = self.scores(served, [_asked(query) for query in self.held_out.queries])
        return {**self.held_out.detector_figures(found), **self.held_out.retrieval_figures(scores)}

    def samples(self) -> list[Sample]:
        return [
            Sample(
                _asked(query),
                (query.described(), _cut(Image.open(query.image.path), query.object.box)),
                {photo.name for photo in self.held_out.gallery if query.is_shown_in(photo)},
            )
            for query in spread(self.held_out.queries)
        ]


def _image(query: ObjectQuery) -> bytes:
    return query.image.path.read_bytes()


def _asked(query: ObjectQuery) -> Query:
    return Query(image=_image(query), region=query.object.box)


def _cut(image: Image.Image, box: Box) -> Image.Image:
    x_min, y_min, x_max, y_max = np.asarray(box) * (image.size * 2)
    return image.crop((int(x_min), int(y_min), round(x_max), round(y_max)))
