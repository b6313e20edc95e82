"""Trains the object detector on drawn scenes and on drawn objects over real photos."""

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from encoders.bundle import Preprocessing
from encoders.detection import postprocess
from encoders.session import RawDetections
from training.average_precision import ScoredBox, mean_average_precision
from training.loop import CHECKPOINT
from training.losses.yolo import yolo_loss
from training.models.anchored import Anchor
from training.objects.network import DetectorNetwork
from training.objects.scenes import DRAWN_SIZE, Scenes, drawn_scene, squashed_scene, truth_of, write_scenes
from training.optimiser import OptimiserConfig, averaged, optimiser_of
from training.world.kinds import LABELS

# The album that figures are taken from; training draws from the one named in the config.
HELD_OUT_SEED = 900_001


@dataclass(frozen=True, slots=True)
class DataConfig:
    """How many scenes of each sort there are, and the network's input."""

    drawn: int
    composed: int
    held_out: int
    size_px: int


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Channels of the stem and the four stages, of the neck, and the grids' anchors, fine to coarse."""

    widths: tuple[int, ...]
    neck: int
    anchors: tuple[tuple[Anchor, ...], ...]


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """A run, as its file in `configs/` says it."""

    seed: int
    data: DataConfig
    network: NetworkConfig
    optimiser: OptimiserConfig


def build_network(config: DetectorConfig) -> DetectorNetwork:
    """The network with fresh weights."""
    return DetectorNetwork(
        size_px=config.data.size_px,
        widths=config.network.widths,
        neck=config.network.neck,
        anchors=config.network.anchors,
        class_count=len(LABELS),
    )


def augment(pixels: Tensor, truths: Sequence[Tensor], rng: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Mirror half of a batch of uint8 pictures (B, S, S, 3) with its boxes, and change light and colour."""
    batch = pixels.permute(0, 3, 1, 2).float()
    count = len(batch)
    mirrored = torch.rand(count, generator=rng) < 0.5
    batch[mirrored] = batch[mirrored].flip(3)
    boxes = [_mirror(truth) if turn else truth for truth, turn in zip(truths, mirrored, strict=True)]
    gain = 1 + 0.2 * torch.randn(count, 1, 1, 1, generator=rng) + 0.08 * torch.randn(count, 3, 1, 1, generator=rng)
    noise = 4 * torch.randn(batch.shape, generator=rng)
    return ((batch * gain + noise).clamp(0, 255) - 127.5) / 64.0, boxes


def _mirror(truth: Tensor) -> Tensor:
    label, left, top, right, bottom = truth.unbind(dim=1)
    return torch.stack([label, 1 - right, top, 1 - left, bottom], dim=1)


def batches(scenes: Scenes, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """An epoch: each scene once, in a new order."""
    order = rng.permutation(len(scenes.truths))
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        yield torch.from_numpy(scenes.pixels[rows]), [torch.from_numpy(scenes.truths[row]) for row in rows]


def held_out_scenes(count: int, size_px: int) -> Scenes:
    """Drawn scenes that training never sees."""
    scenes = [drawn_scene(HELD_OUT_SEED, number) for number in range(count)]
    return Scenes(
        pixels=np.stack([squashed_scene(scene, size_px) for scene in scenes]),
        truths=tuple(truth_of(scene) for scene in scenes),
    )


def found_in(boxes: NDArray[np.float32], scores: NDArray[np.float32], *, size_px: int) -> list[ScoredBox]:
    """What one picture's raw answer comes to, by the same code that serves it."""
    detections = postprocess(
        RawDetections(boxes, scores),
        picture_px=DRAWN_SIZE,
        preprocessing=Preprocessing(size=(size_px, size_px)),
        min_score=0.01,
        limit=100,
    )
    return [ScoredBox(item.class_id, item.score, item.box) for item in detections]


def evaluate(network: nn.Module, scenes: Scenes) -> float:
    """The mAP50 on whole scenes."""
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(scenes.pixels), 25):
            answers = network(torch.from_numpy(scenes.pixels[start : start + 25]))
            for boxes, scores in zip(*(answer.numpy() for answer in answers), strict=True):
                found.append(found_in(boxes, scores, size_px=scenes.pixels.shape[1]))
    network.train()
    return mean_average_precision(found, scenes.truths)


def prepare(config: DetectorConfig, realdata: Path, run: Path) -> None:
    """Draw the training scenes."""
    write_scenes(
        run / "scenes",
        realdata,
        drawn=config.data.drawn,
        composed=config.data.composed,
        size_px=config.data.size_px,
        seed=config.seed,
    )


def train(config: DetectorConfig, run: Path, *, max_steps: int | None = None) -> None:
    """Train, log each epoch, and keep the averaged weights in `run`/checkpoint.pt."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    torch_rng = torch.Generator().manual_seed(config.seed)
    settings = config.optimiser

    scenes = Scenes.open(run / "scenes")
    held_out = held_out_scenes(config.data.held_out, config.data.size_px)
    network = build_network(config).to(memory_format=torch.channels_last)
    average = averaged(network, settings)

    steps_per_epoch = len(scenes.truths) // settings.batch
    optimiser, schedule = optimiser_of(network.parameters(), settings, steps_per_epoch=steps_per_epoch)

    with (run / "log.csv").open("w", encoding="utf-8", newline="") as log_file:
        log = csv.writer(log_file)
        log.writerow(["epoch", "loss", "map50", "seconds"])
        for epoch in range(settings.epochs):
            started, losses = time.monotonic(), []
            epoch_batches = batches(scenes, settings.batch, rng)
            for pixels, truths in track(epoch_batches, f"epoch {epoch + 1}", total=steps_per_epoch):
                activation, boxes = augment(pixels, truths, torch_rng)
                with torch.autocast("cpu", torch.bfloat16):
                    prediction = network.predict(activation.to(memory_format=torch.channels_last))
                loss = yolo_loss(network, prediction, boxes)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
                nn.utils.clip_grad_norm_(network.parameters(), 10.0)
                optimiser.step()
                schedule.step()
                average.update_parameters(network)
                losses.append(loss.item())
                if max_steps is not None and len(losses) == max_steps:
                    break
            row = [epoch + 1, np.mean(losses), evaluate(average.module, held_out), time.monotonic() - started]
            log.writerow([f"{value:.4g}" for value in row])
            log_file.flush()
            checkpoint = {"config": asdict(config), "epoch": epoch + 1, "weights": average.module.state_dict()}
            torch.save(checkpoint, run / CHECKPOINT)
            if max_steps is not None:
                break
