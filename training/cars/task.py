"""Owns the training of car search: two photos of a model must meet among those of other models."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.cars.augmentation import augmented
from training.cars.config import CarsConfig
from training.cars.photos import TrainingPhotos, labels_of
from training.datasets.car_split import labels_by_appearance
from training.decoded import cached
from training.loop import Task
from training.losses.n_pair import n_pair_loss
from training.metrics import evaluate, minor_classes, own_id, pair_figures, same_label, withheld
from training.models.compcars import CompCars
from training.models.served import COMPCARS_SCALING, ImageEncoder, torch_outputs

Rows = NDArray[np.intp]
# How many models are measured after each epoch, from everywhere in their order; all of them would take as long as to train.
MOST_MODELS = 250
# The type of a model whose attributes are not known.
_UNKNOWN = -100


@dataclass(frozen=True, slots=True)
class Pairs:
    """A batch of N models: `pixels` uint8 (2N, H, W, 3), the anchors and then the positives; `label` (N,)."""

    pixels: Tensor
    label: Tensor


class CarsTask(Task):
    """The car network with the N-pair loss, classification or both; an epoch shows as many photos as there are."""

    def __init__(self, config: CarsConfig, photos: TrainingPhotos, run: Path) -> None:
        """Decode the photos into `run`."""
        super().__init__()
        self.config = config
        preprocessing = config.input.preprocessing
        self._web = cached([car.path for car in photos.web], preprocessing, run / "web")
        self._models = labels_of(photos.web)
        self._split = photos.split
        make_of = {car.model_id: car.make_id for car in photos.web}
        label_of = labels_by_appearance(self._models.tolist())
        trained = np.flatnonzero(photos.split.is_train)
        self._web_rows = _rows_by_label(self._models[trained], trained, label_of)
        road = photos.road if config.loss.road else ()
        if road:
            self._road = cached([car.path for car in road], preprocessing, run / "road")
        self._road_rows = _rows_by_label(labels_of(road), np.arange(len(road)), label_of)
        self._usable = np.array([label for label, rows in enumerate(self._web_rows) if len(rows) > 1])
        makes, self._make = np.unique([make_of[model] for model in label_of], return_inverse=True)
        self._pairs_a_batch = min(config.optimiser.batch // 2, len(self._usable))
        if self._pairs_a_batch <= config.loss.negatives:
            raise ValueError(
                f"{len(self._usable)} models with two photos and batch={config.optimiser.batch} leave fewer than "
                f"{config.loss.negatives} negatives for each pair."
            )
        if not photos.split.is_validation_query.any():
            raise ValueError(f"no model has the {config.protocol.ratio} photos of which one would validate")

        self.steps_per_epoch = max(1, (len(trained) + len(road)) // config.optimiser.batch)
        classes = len(label_of) if config.loss.classification else 0
        network = CompCars(replace(config.network, classes=classes))
        self.network = network.to(memory_format=torch.channels_last)
        # Kept in checkpoints, so that a run that goes on sees images of the size that is their turn.
        self.epoch: Tensor
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        width = network.gem_proj.out_features
        self.makes = nn.Linear(width, len(makes)) if config.loss.make else None
        types = sorted(set(photos.types.values()))
        self._type = np.array(
            [types.index(photos.types[model]) if model in photos.types else _UNKNOWN for model in label_of]
        )
        self.types = nn.Linear(width, len(types)) if config.loss.type else None

    def batches(self, rng: np.random.Generator) -> Iterator[Pairs]:
        """Draw models, and two photos of each; a model comes once in a batch, or it would be its own negative."""
        self.epoch += 1
        for _ in range(self.steps_per_epoch):
            labels = rng.choice(self._usable, self._pairs_a_batch, replace=False)
            picked = [self._pair(int(label), rng) for label in labels]
            pixels = np.stack([anchor for anchor, _ in picked] + [positive for _, positive in picked])
            yield Pairs(torch.from_numpy(pixels), torch.from_numpy(labels))

    def loss(self, batch: Pairs) -> Tensor:
        """N-pair and classification, as the config weighs them."""
        assert isinstance(self.network, CompCars)
        weights, count = self.config.loss, len(batch.label)
        is_small = self.epoch.item() <= self.config.input.small_epochs
        scale = self.config.input.small_scale if is_small else 1.0
        images = augmented(batch.pixels.to(self.device), self.config.augmentation, scale)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.is_bfloat16):
            pooled = self.network.pool(images.contiguous(memory_format=torch.channels_last))
        pooled = pooled.float()
        embedding, loss = F.normalize(pooled, dim=1), pooled.new_zeros(())
        if weights.n_pair:
            anchor, positive = embedding[:count], embedding[count:]
            others = positive[_others(count, weights.negatives)]
            loss = loss + weights.n_pair * n_pair_loss(anchor, positive, others, temperature=weights.temperature)
        if weights.classification:
            logits = self.network.logits(pooled) / weights.temperature
            named = F.cross_entropy(logits, batch.label.to(self.device).repeat(2))
            loss = loss + weights.classification * named
        for weight, classifier, group in (
            (weights.make, self.makes, self._make),
            (weights.type, self.types, self._type),
        ):
            if classifier is not None:
                targets = torch.from_numpy(group[batch.label.numpy()]).to(self.device)
                logits = classifier(embedding) / weights.temperature
                loss = loss + weight * F.cross_entropy(logits, targets.repeat(2), ignore_index=_UNKNOWN)
        return loss

    def figures(self, network: nn.Module) -> dict[str, float]:
        """mAP@20 of validation photos among the training ones, and how well cosines tell pairs: AUC and EER."""
        assert isinstance(network, CompCars)
        measured = np.unique(self._models[self._split.is_validation_query])
        if len(measured) > MOST_MODELS:
            measured = measured[np.linspace(0, len(measured) - 1, MOST_MODELS).astype(int)]
        photos = np.flatnonzero(np.isin(self._models, measured))
        (embeddings,) = torch_outputs(served_network(network), {"image": self._web[photos]})
        rows, models = np.flatnonzero(self._split.is_validation_query[photos]), self._models[photos]
        queries, asked = embeddings[rows], models[rows]
        found = evaluate(
            queries,
            embeddings,
            same_label(asked, models),
            own_id(rows, np.arange(len(photos))),
            withheld(self._split.is_validation[photos]),
            minor_classes(models, models, at_least=self.config.protocol.min_count),
        )
        pairs = pair_figures(queries @ queries.T, asked[:, None] == asked) if len(measured) < len(rows) else None
        return {"map20": float(found.ap_at_k.mean()), **({"auc": pairs.auc, "eer": pairs.eer} if pairs else {})}

    def _pair(self, label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        first, second = rng.choice(self._web_rows[label], 2, replace=False)
        road = self._road_rows[label]
        is_road = len(road) > 0 and rng.random() < self.config.loss.road
        return (self._road[rng.choice(road)] if is_road else self._web[first]), self._web[second]


def served_network(network: CompCars) -> ImageEncoder:
    """The network as it is served."""
    return ImageEncoder(network, network, COMPCARS_SCALING)


def _rows_by_label(models: NDArray[np.int64], rows: Rows, label_of: dict[int, int]) -> list[Rows]:
    """For each label the rows of its photos."""
    labels = np.array([label_of[model] for model in models.tolist()], np.int64)
    return [rows[labels == label] for label in range(len(label_of))]


def _others(count: int, negatives: int) -> Tensor:
    """For each of `count` pairs the rows of `negatives` other ones, without repetition: (count, negatives)."""
    scores = torch.rand(count, count).fill_diagonal_(-1)
    return scores.argsort(dim=1, descending=True)[:, :negatives]
