"""Owns what the training loop needs of a detector: batches of images with their objects, loss and average precision."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from domain.detection import Detection
from training.average_precision import average_precision
from training.datasets.annotated import AnnotatedImages
from training.loop import Task
from training.losses.yolo import yolo_loss
from training.objects.config import ObjectsConfig
from training.objects.detector import Detector, detections_of
from training.objects.images import cache_images

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
        train: AnnotatedImages,
        validation: AnnotatedImages,
        run: Path,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config, self.validation = config, validation
        self.images = cache_images(train, run / "train", config.data.preprocessing)
        self.held_out = cache_images(validation, run / "validation", config.data.preprocessing)
        self.steps_per_epoch = len(self.images.pixels) // config.optimiser.batch
        if not self.steps_per_epoch:
            raise ValueError(f"{len(train.images)} training images do not fill a batch of {config.optimiser.batch}.")

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Every image once, in a new order, but for the last ones that fill no batch."""
        order, size = rng.permutation(len(self.images.pixels)), self.config.optimiser.batch
        for start in range(0, self.steps_per_epoch * size, size):
            rows = np.sort(order[start : start + size])
            truths = [torch.from_numpy(self.images.truths[row]) for row in rows]
            yield torch.from_numpy(self.images.pixels[rows]), truths

    def loss(self, batch: Batch) -> Tensor:
        """The YOLO loss of varied images; the network computes in bfloat16, the loss in float32."""
        device = self.device
        images, truths = augment(batch[0].to(device), [truth.to(device) for truth in batch[1]])
        with torch.autocast(device.type, torch.bfloat16):
            prediction = self.network.predict(images.contiguous(memory_format=torch.channels_last))
        return yolo_loss(self.network, prediction, truths)

    def figures(self, network: nn.Module) -> dict[str, float]:
        """The average precision on the validation split."""
        images, data = self.validation.images, self.config.data
        found = list[list[Detection]]()
        for start in range(0, len(images), EVALUATED_AT_ONCE):
            part = slice(start, start + EVALUATED_AT_ONCE)
            answers = network(torch.from_numpy(np.array(self.held_out.pixels[part])).to(self.device))
            boxes, scores = (answer.cpu().numpy() for answer in answers)
            found += detections_of(boxes, scores, images[part], data.labels, data.preprocessing)
        precision = average_precision(found, images, data.labels)
        return {"map50": precision.at_half, "map": precision.mean}


def augment(images: Tensor, truths: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Vary uint8 images (B, S, S, 3) with their objects (M, 5); returns RGB of 0..255, float32 (B, 3, S, S).

    Draws from torch's global generator.
    """
    batch = images.permute(0, 3, 1, 2).contiguous().float()
    is_mirrored = torch.rand(len(batch)) < 0.5
    batch[is_mirrored] = batch[is_mirrored].flip(3)
    boxes = [_mirror(truth) if turn else truth for truth, turn in zip(truths, is_mirrored, strict=True)]
    light, colour = torch.randn(len(batch), 1, 1, 1), torch.randn(len(batch), 3, 1, 1)
    gain = (1 + 0.2 * light + 0.08 * colour).to(batch.device)
    return torch.randn_like(batch).mul_(4).addcmul_(batch, gain).clamp_(0, 255), boxes


def _mirror(truth: Tensor) -> Tensor:
    label, left, top, right, bottom = truth.unbind(dim=1)
    return torch.stack([label, 1 - right, top, 1 - left, bottom], dim=1)
