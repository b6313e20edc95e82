"""Owns what every evaluation shares: a gallery that a running Fovea is asked about, its scores, and a sheet of samples."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.decoded import open_image
from training.serving import Query, Served
from training.sheet import Row, Shown, write_sheet

# Below the least cosine: images that are not among the hits of a query come behind those that are.
NOT_FOUND = -2.0
SAMPLES, SAMPLE_HITS = 5, 5

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Sample:
    """A query as the sheet shows it, and the names of the images that answer it; `own`, its own one, is left out."""

    query: Query
    shown: Shown
    right: Collection[str]
    own: str = ""


class Evaluation(ABC):
    """The test split of a system; every figure is in 0..1 and better when higher."""

    collection: str
    encoder: str
    detector = ""
    # How many hits of each query are asked for.
    limit: int

    def __init__(self, gallery: Mapping[str, Path]) -> None:
        """`gallery` holds the images that are searched, by the names under which they are ingested."""
        self.gallery = gallery

    @abstractmethod
    def offline(self, models: Path) -> dict[str, float]:
        """Measure the bundles in `models` in this process, by the code that serves them."""

    @abstractmethod
    def online(self, served: Served) -> dict[str, float]:
        """Ingest the gallery and measure exact search through the RPCs; the figures are among those of `offline`."""

    @abstractmethod
    def samples(self) -> list[Sample]:
        """The queries of the sheet."""

    def ingest(self, served: Served) -> None:
        """Fill the collection with the gallery."""
        images = ((name, path.read_bytes()) for name, path in self.gallery.items())
        served.fill(self.collection, images, encoder=self.encoder, detector=self.detector)

    def scores(self, served: Served, queries: Sequence[Query]) -> NDArray[np.float32]:
        """Ask every query, exactly; the scores (Q, G) of the gallery's images, in its order."""
        row_of = {name: row for row, name in enumerate(self.gallery)}
        scores = np.full((len(queries), len(row_of)), NOT_FOUND, np.float32)
        # A query that finds nothing leaves its row as it is: every image counts as not found.
        for row, hits in zip(scores, served.search(self.collection, queries, limit=self.limit), strict=True):
            for hit in hits:
                row[row_of[hit.uri]] = hit.score
        return scores

    def draw_sheet(self, served: Served, path: Path) -> None:
        """Draw the samples with their first hits; `online` has filled the collection."""
        samples = self.samples()
        # One more than are shown, because the own image may be among them.
        answers = served.search(self.collection, [sample.query for sample in samples], limit=SAMPLE_HITS + 1)
        rows = []
        for sample, hits in zip(samples, answers, strict=True):
            names = [hit.uri for hit in hits if hit.uri != sample.own][:SAMPLE_HITS]
            rows.append(Row(sample.shown, [(open_image(self.gallery[name]), name in sample.right) for name in names]))
        write_sheet(rows, path)


def spread(items: Sequence[Item], count: int = SAMPLES) -> list[Item]:
    """Some items, from everywhere in their order."""
    return [items[row] for row in np.linspace(0, len(items) - 1, count).astype(int)]
