"""Trains the general image embedding: labels and a teacher, on openly licensed photos and the drawn world."""

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from training.general.crops import drawn_crops
from training.general.network import EmbeddingNetwork, scaled
from training.general.views import Views, write_views
from training.loop import CHECKPOINT
from training.metrics import QueryFigures, evaluate, own_id, same_label
from training.optimiser import OptimiserConfig, averaged, optimiser_of
from training.photos import Photo, clothing_photos, grocery_photos


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The views that are cut: see `training.general.views`."""

    drawn_crops: int
    views: int
    view_px: int
    train_px: int


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What `EmbeddingNetwork` is built from."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    content_dimension: int
    colour_dimension: int
    colour_share: float


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The weights of the objective's parts."""

    fine: float
    coarse: float
    teacher: float
    likeness: float
    scale: float
    label_smoothing: float


@dataclass(frozen=True, slots=True)
class GeneralConfig:
    """A run, as its file in `configs/` says it."""

    seed: int
    data: DataConfig
    network: NetworkConfig
    optimiser: OptimiserConfig
    loss: LossConfig


class Objective(nn.Module):
    """What the embedding must say: the exact class, the coarse class, and what the teacher sees."""

    def __init__(self, config: LossConfig, dimension: int, views: Views) -> None:
        super().__init__()
        self.config = config
        self.fine = nn.Parameter(torch.randn(int(views.fine.max()) + 1, dimension))
        self.coarse = nn.Parameter(torch.randn(int(views.coarse.max()) + 1, dimension))
        self.to_teacher = nn.Linear(dimension, views.teacher.shape[2])
        # Pooled activations are all positive; without their mean every pair would look alike.
        self.teacher_mean: Tensor
        self.register_buffer("teacher_mean", torch.from_numpy(views.teacher[:, 0].astype(np.float32).mean(axis=0)))

    def forward(self, embedding: Tensor, teacher: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """The loss of a batch: `embedding` unit (B, D), `teacher` raw (B, T), class ids (B,)."""
        teacher = F.normalize(teacher - self.teacher_mean, dim=1)
        guess = F.normalize(self.to_teacher(embedding), dim=1)
        apart = ~torch.eye(len(embedding), dtype=torch.bool)
        likeness = F.mse_loss((embedding @ embedding.T)[apart], (teacher @ teacher.T)[apart])
        return (
            self.config.fine * self._cosine_softmax(embedding, self.fine, fine)
            + self.config.coarse * self._cosine_softmax(embedding, self.coarse, coarse)
            + self.config.teacher * (1 - (guess * teacher).sum(dim=1)).mean()
            + self.config.likeness * likeness
        )

    def _cosine_softmax(self, embedding: Tensor, centres: Tensor, label: Tensor) -> Tensor:
        logits = self.config.scale * embedding @ F.normalize(centres, dim=1).T
        return F.cross_entropy(logits, label, label_smoothing=self.config.label_smoothing)


def augment(pixels: Tensor, size_px: int, rng: torch.Generator) -> Tensor:
    """Cut, mirror and tint a batch of uint8 views (B, S, S, 3), alike for the batch where that is cheaper."""
    room = pixels.shape[1] - size_px
    top, left = torch.randint(0, room + 1, (2,), generator=rng).tolist()
    batch = pixels[:, top : top + size_px, left : left + size_px].permute(0, 3, 1, 2).float()
    count = len(batch)
    mirrored = torch.rand(count, generator=rng) < 0.5
    batch[mirrored] = batch[mirrored].flip(3)
    # Mild: colour is what tells many groceries apart, so only what a lamp or a camera changes.
    gain = 1 + 0.12 * torch.randn(count, 1, 1, 1, generator=rng) + 0.04 * torch.randn(count, 3, 1, 1, generator=rng)
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    contrast = 1 + 0.12 * torch.randn(count, 1, 1, 1, generator=rng)
    batch = ((batch - mean) * contrast + mean) * gain
    return batch.clamp(0, 255)


def batches(views: Views, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """An epoch: each picture once, as one of its views picked at random."""
    order = rng.permutation(len(views.fine))
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        columns = rng.integers(0, views.pixels.shape[1], size)
        yield (
            torch.from_numpy(views.pixels[rows, columns]),
            torch.from_numpy(views.teacher[rows, columns].astype(np.float32)),
            torch.from_numpy(views.fine[rows]),
            torch.from_numpy(views.coarse[rows]),
        )


def embed_all(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embed whole pictures, uint8 (N, S, S, 3), as they would be served."""
    network.eval()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(part)) for part in np.array_split(pictures, 8)]
    network.train()
    return torch.cat(parts).numpy()


def leave_one_out(embeddings: NDArray[np.float32], labels: Sequence[str]) -> QueryFigures:
    """The figures of pictures that each look for all the others of their class; P@1 is `recall(1)`."""
    rows = np.arange(len(embeddings))
    return evaluate(embeddings, embeddings, same_label(labels, labels), own_id(rows, rows), ks=(1, 5))


def squashed(photos: Sequence[Photo], size_px: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Photos as the served bundle sees them, uint8 (N, S, S, 3), with their exact classes."""
    size = (size_px, size_px)
    pixels = np.stack([np.asarray(photo.open().resize(size, Image.Resampling.BILINEAR)) for photo in photos])
    return pixels, [photo.fine for photo in photos]


def prepare(config: GeneralConfig, realdata: Path, run: Path, threads: int) -> None:
    """Cut and embed the views that training reads."""
    write_views(
        [
            *grocery_photos(realdata / "grocery", "train"),
            *clothing_photos(realdata / "clothing"),
            *drawn_crops(config.data.drawn_crops, config.seed),
        ],
        run / "views",
        teacher=realdata / "bundles" / "mobilenet_v2_imagenet.onnx",
        size_px=config.data.view_px,
        count=config.data.views,
        seed=config.seed,
        threads=threads,
    )


def train(
    config: GeneralConfig, realdata: Path, run: Path, *, start: Path | None = None, max_steps: int | None = None
) -> None:
    """Train, log each epoch, and keep the averaged weights in `run`/checkpoint.pt.

    With `start` the weights begin as those of another run's checkpoint.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    torch_rng = torch.Generator().manual_seed(config.seed)
    settings = config.optimiser

    views = Views.open(run / "views")
    validation, validation_labels = squashed(grocery_photos(realdata / "grocery", "val"), config.data.view_px)
    network = EmbeddingNetwork(**asdict(config.network)).to(memory_format=torch.channels_last)
    epochs_before = 0
    if start is not None:
        first_stage = torch.load(start, weights_only=True)
        network.load_state_dict(first_stage["weights"])
        epochs_before = first_stage["epoch"]
    network.colour.fit(np.array(views.pixels[:, 0]))
    objective = Objective(config.loss, config.network.content_dimension + config.network.colour_dimension, views)
    average = averaged(network, settings)

    steps_per_epoch = len(views.fine) // settings.batch
    optimiser, schedule = optimiser_of(
        [*network.parameters(), *objective.parameters()], settings, steps_per_epoch=steps_per_epoch
    )

    with (run / "log.csv").open("w", encoding="utf-8", newline="") as log_file:
        log = csv.writer(log_file)
        log.writerow(["epoch", "loss", "p_at_1", "r_at_5", "map", "seconds"])
        for epoch in range(settings.epochs):
            started, losses = time.monotonic(), []
            epoch_batches = batches(views, settings.batch, rng)
            for pixels, teacher, fine, coarse in track(epoch_batches, f"epoch {epoch + 1}", total=steps_per_epoch):
                picture = augment(pixels, config.data.train_px, torch_rng)
                # The colours are counted in full precision: bfloat16 has 8 bits, too few for shares of 1 %.
                with torch.autocast("cpu", torch.bfloat16):
                    content = network.content(scaled(picture).to(memory_format=torch.channels_last))
                embedding = network.join(content.float(), network.colour(picture))
                loss = objective(embedding, teacher, fine, coarse)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                average.update_parameters(network)
                losses.append(loss.item())
                if max_steps is not None and len(losses) == max_steps:
                    break
            figures = leave_one_out(embed_all(average.module, validation), validation_labels)
            quality = [figures.recall(1), figures.recall(5), figures.ap.mean()]
            row = [epoch + 1, np.mean(losses), *quality, time.monotonic() - started]
            log.writerow([f"{value:.4g}" for value in row])
            log_file.flush()
            checkpoint = {
                "config": asdict(config),
                "epoch": epochs_before + epoch + 1,
                "weights": average.module.state_dict(),
            }
            torch.save(checkpoint, run / CHECKPOINT)
            if max_steps is not None:
                break
