"""Owns the fitting of the joint space: what the published networks say of the training photos, and the head made of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.bundle import Bundle, Preprocessing
from training.decoded import decoded
from training.embed import embed
from training.joint_space.colours import UsualColours
from training.joint_space.config import JointSpaceConfig
from training.joint_space.domains import training_photos
from training.joint_space.image_tower import Backbones, Fitted, joined_features
from training.joint_space.labels import embed_labels, own_classes
from training.joint_space.own_classes import fit_own_classes
from training.joint_space.sentences import SentenceEncoder
from training.joint_space.weights import Weights

BATCH = 64

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the backbones say of N photos: activations (N, 1280), colours (N, 11), the content network's embeddings (N, 320)."""

    features: Rows
    colours: Rows
    content: Rows


def fit(config: JointSpaceConfig, weights: Weights, realdata: Path, backbones: Backbones, content: Bundle) -> Fitted:
    """Fit the head to the training photos.

    The classifier's activations are projected on what tells its thousand classes apart, which no photo at hand decides:
    fitted to these photos, the projection would forget everything else.
    """
    photos, own = training_photos(realdata), own_classes(realdata)
    seen = see([photo.path for photo in photos], backbones, content, config.image_px)
    row_of = {each.photos: row for row, each in enumerate(own)}
    features = joined_features(torch.from_numpy(seen.features), torch.from_numpy(seen.content), config).numpy()
    directions = backbones.classifier.class_directions.numpy()
    return Fitted(
        looks=_principal(directions, config.looks.classifier_dimension),
        content=_principal(seen.content, config.looks.content_dimension),
        labels=embed_labels(weights, own, SentenceEncoder(weights), config.meaning.dimension),
        own=fit_own_classes(features, [row_of[photo.fine] for photo in photos], len(own)),
        colours=UsualColours(seen.colours.mean(axis=0), seen.colours.std(axis=0)),
    )


def see(paths: Sequence[Path], backbones: Backbones, content: Bundle, image_px: int) -> Seen:
    """Run the backbones on photos."""
    features, colours, inputs = [], [], []
    for pixels in squashed(paths, image_px):
        with torch.inference_mode():
            small, activations, _, fractions = backbones(torch.from_numpy(pixels))
        features.append(activations.numpy())
        colours.append(fractions.numpy())
        inputs += list(small.numpy())
    return Seen(np.concatenate(features), np.concatenate(colours), embed(content, inputs))


def squashed(paths: Sequence[Path], size_px: int) -> Iterator[NDArray[np.uint8]]:
    """Photos as they are served, uint8 (n, S, S, 3), a batch at a time."""
    preprocessing = Preprocessing(size=(size_px, size_px))
    for start in range(0, len(paths), BATCH):
        yield decoded(paths[start : start + BATCH], preprocessing)


def _principal(rows: Rows, dimension: int) -> Rows:
    """The directions (W, D) in which rows (N, W) differ most."""
    _, _, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    principal: Rows = directions[:dimension].T
    return principal
