"""Owns what the training loop needs of a detector: batches of pictures with their objects, loss and average precision."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from domain.detection import Detection
from training.average_precision import average_precision
from training.datasets.annotated import AnnotatedPictures
from training.losses.yolo import yolo_loss
from training.objects.answers import detections_of
from training.objects.augmentation import augment
from training.objects.config import ObjectsConfig
from training.objects.detector import Detector
from training.objects.pictures import cache_pictures
from training.task import Task

Batch = tuple[Tensor, list[Tensor]]

EVALUATED_AT_ONCE = 25


class ObjectsTask(Task):
    """A detector on a dataset whose pixels are cached in the run's folder."""

    network: Detector

    def __init__(
        self,
        config: ObjectsConfig,
        network: Detector,
        *,
        train: AnnotatedPictures,
        validation: AnnotatedPictures,
        run: Path,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config, self.validation = config, validation
        self.pictures = cache_pictures(train, run / "train", config.data.preprocessing)
        self.held_out = cache_pictures(validation, run / "validation", config.data.preprocessing)
        self.steps_per_epoch = len(self.pictures.pixels) // config.optimiser.batch
        if not self.steps_per_epoch:
            raise ValueError(
                f"{len(train.pictures)} training pictures do not fill a batch of {config.optimiser.batch}."
            )

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Every picture once, in a new order, but for the last ones that fill no batch."""
        order, size = rng.permutation(len(self.pictures.pixels)), self.config.optimiser.batch
        for start in range(0, self.steps_per_epoch * size, size):
            rows = np.sort(order[start : start + size])
            truths = [torch.from_numpy(self.pictures.truths[row]) for row in rows]
            yield torch.from_numpy(self.pictures.pixels[rows]), truths

    def loss(self, batch: Batch) -> Tensor:
        """The YOLO loss of varied pictures; the network computes in bfloat16, the loss in float32."""
        device = self.device
        pictures, truths = augment(batch[0].to(device), [truth.to(device) for truth in batch[1]])
        with torch.autocast(device.type, torch.bfloat16):
            prediction = self.network.predict(pictures.contiguous(memory_format=torch.channels_last))
        return yolo_loss(self.network, prediction, truths)

    def figures(self, network: nn.Module) -> dict[str, float]:
        """The average precision on the validation split."""
        pictures, data = self.validation.pictures, self.config.data
        found = list[list[Detection]]()
        for start in range(0, len(pictures), EVALUATED_AT_ONCE):
            part = slice(start, start + EVALUATED_AT_ONCE)
            answers = network(torch.from_numpy(np.array(self.held_out.pixels[part])).to(self.device))
            boxes, scores = (answer.cpu().numpy() for answer in answers)
            found += detections_of(boxes, scores, pictures[part], data.labels, data.preprocessing)
        precision = average_precision(found, pictures, data.labels)
        return {"map50": precision.at_half, "map": precision.mean}
