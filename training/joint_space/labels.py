"""Owns the labels whose probabilities say what an image means, and where their names lie in the space of sentences."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.joint_space.sentences import SentenceEncoder, unit
from training.joint_space.weights import Weights, lines

PROMPT = "a photo of a {}"

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OwnClass:
    """A class of the photos that the space is fitted to: `photos` names its photos, see training/photos.py."""

    photos: str
    names: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class LabelEmbeddings:
    """What labels mean: (labels, D) unit embeddings, projected; and the projection, for whatever is compared with them.

    Sentences have much in common, which hides how they differ. So the mean of the classifier's labels is subtracted, and
    what is left is projected on the directions in which labels differ most (Mu and Viswanath, "All-but-the-top", 2018).
    """

    classifier: Rows
    tags: Rows
    own: Rows
    drawings: Rows
    mean: Rows
    basis: Rows

    def project(self, sentences: Rows) -> Rows:
        """Embeddings of sentences (N, 384), projected to (N, D)."""
        return unit((sentences - self.mean) @ self.basis)


def embed_labels(
    weights: Weights, own: Sequence[OwnClass], sentences: SentenceEncoder, dimension: int
) -> LabelEmbeddings:
    """Embed all labels, and choose the projection by them."""
    classifier = np.stack([_named(sentences, line.split(", ")) for line in lines(weights.classifier_labels)[1:]])
    tags = sentences.embed([PROMPT.format(name) for name in lines(weights.detector_labels)])
    drawn = lines(weights.drawing_labels)
    drawings = sentences.embed([PROMPT.format(name) for name in drawn])
    names = np.stack([_named(sentences, each.names) for each in own])
    descriptions = sentences.embed([each.description for each in own])

    mean = classifier.mean(axis=0)
    everything = np.concatenate([unit(rows - mean) for rows in (classifier, tags, names, descriptions)])
    _, _, directions = np.linalg.svd(everything, full_matrices=False)
    fitted = LabelEmbeddings(classifier, tags, names, drawings, mean, directions[:dimension].T)
    described = unit(fitted.project(names) + 0.7 * fitted.project(descriptions))
    # One label of the classifier of drawings is not known.
    known = np.array([[name != "?"] for name in drawn], np.float32)
    return LabelEmbeddings(
        classifier=fitted.project(classifier),
        tags=fitted.project(tags),
        own=described,
        drawings=fitted.project(drawings) * known,
        mean=mean,
        basis=fitted.basis,
    )


def own_classes(realdata: Path) -> list[OwnClass]:
    """The 81 products of the groceries and the ten kinds of clothes."""
    grocery = realdata / "grocery"
    with (grocery / "classes.csv").open(encoding="utf-8", newline="") as opened:
        products = [_product(grocery, row) for row in csv.DictReader(opened)]
    kinds = sorted(path.name for path in (realdata / "clothing" / "train").iterdir())
    return [*products, *(OwnClass(f"clothing/{kind}", (kind,), PROMPT.format(kind)) for kind in kinds)]


def _product(grocery: Path, row: dict[str, str]) -> OwnClass:
    path = row["Product Description Path (str)"].lstrip("/").removeprefix("iconic-images-and-descriptions/")
    names = (row["Class Name (str)"], row["Coarse Class Name (str)"])
    return OwnClass(
        photos=f"grocery/{row['Class ID (int)'].strip()}",
        names=tuple(name.replace("-", " ") for name in names),
        description=(grocery / "descriptions" / path).read_text(encoding="utf-8").strip(),
    )


def _named(sentences: SentenceEncoder, names: Sequence[str]) -> Rows:
    """One unit embedding (384,) for several names of one thing."""
    return unit(sentences.embed([PROMPT.format(name) for name in names]).mean(axis=0))
