"""The loop of every run: a system brings a `Task`, and each epoch ends with a log line, the curves and a checkpoint."""

import csv
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from training.optimiser import OptimiserConfig, averaged, optimiser_of

CHECKPOINT = "checkpoint.pt"
# Draws the curves to a file, where there is no screen.
mpl.use("Agg")


class TrainingError(Exception):
    """The run cannot go on; the message says why and what to do."""


class Task(nn.Module, ABC):
    """All that is trained, as one module: `network`, which is averaged and exported, and what only the loss needs.

    Randomness comes from torch's global generator and from the generator that `batches` is given; the loop keeps both
    in its checkpoints, so that a run that was cut off goes on as if it had not been.
    """

    network: nn.Module
    steps_per_epoch: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """Yield `steps_per_epoch` batches, on any device; what a batch is is between this and `loss`."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch, a scalar."""

    @abstractmethod
    def figures(self, network: nn.Module) -> dict[str, float]:
        """Measure the averaged network, in its evaluation mode, on the validation split, after each epoch."""


def fit(
    task: Task,
    optimiser_config: OptimiserConfig,
    run: Path,
    *,
    config: Mapping[str, Any],
    seed: int,
    max_steps: int | None = None,
) -> None:
    """Train until the last epoch, or go on from `run`/checkpoint.pt exactly where it ends.

    `config` is the whole run's, for the checkpoint: export builds the network from it, and a run is only resumed under
    the config that it began with. `max_steps` cuts each epoch short, for tests.
    """
    run.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    average = averaged(task.network, optimiser_config)
    optimiser, schedule = optimiser_of(task.parameters(), optimiser_config, steps_per_epoch=task.steps_per_epoch)
    state = _State(task, average, optimiser, schedule, rng)

    done = state.resume(run / CHECKPOINT, config)
    log = _Log(run, keep_epochs=done)
    steps = min(task.steps_per_epoch, max_steps or task.steps_per_epoch)
    with _progress() as progress:
        bar = progress.add_task(
            run.name, total=optimiser_config.epochs * steps, completed=done * steps, loss=np.nan, speed=0.0
        )
        for epoch in range(done + 1, optimiser_config.epochs + 1):
            started, losses = time.monotonic(), []
            task.train()
            for batch in _at_most(task.batches(rng), steps):
                loss = task.loss(batch)
                if not torch.isfinite(loss):
                    raise TrainingError(f"The loss is {loss.item()} in epoch {epoch}: lower the learning rate.")
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
                nn.utils.clip_grad_norm_(task.parameters(), optimiser_config.clip_norm)
                optimiser.step()
                schedule.step()
                average.update_parameters(task.network)
                losses.append(loss.item())
                speed = len(losses) * optimiser_config.batch / (time.monotonic() - started)
                progress.update(bar, advance=1, loss=np.mean(losses[-50:]), speed=speed)
            seconds = time.monotonic() - started
            average.module.eval()
            with torch.inference_mode():
                figures = task.figures(average.module)
            log.write({"epoch": epoch, "loss": float(np.mean(losses)), **figures, "seconds": seconds})
            state.save(run / CHECKPOINT, config, epoch)


class _State:
    """Everything that decides how a run goes on."""

    def __init__(
        self,
        task: Task,
        average: AveragedModel,
        optimiser: torch.optim.Optimizer,
        schedule: LRScheduler,
        rng: np.random.Generator,
    ) -> None:
        self.parts: dict[str, Any] = {"task": task, "average": average, "optimiser": optimiser, "schedule": schedule}
        self.average, self.rng = average, rng

    def save(self, path: Path, config: Mapping[str, Any], epoch: int) -> None:
        """Replace the checkpoint whole; `weights` is what export reads, the averaged network."""
        checkpoint = {
            "config": dict(config),
            "epoch": epoch,
            "weights": self.average.module.state_dict(),
            "state": {name: part.state_dict() for name, part in self.parts.items()},
            "random": {
                "numpy": self.rng.bit_generator.state,
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all(),
            },
        }
        unfinished = path.with_suffix(".new")
        torch.save(checkpoint, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path, config: Mapping[str, Any]) -> int:
        """Take up the checkpoint, where there is one; returns how many epochs are done."""
        if not path.exists():
            return 0
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
        if checkpoint["config"] != dict(config):
            raise TrainingError(f"{path} is of another config: name another folder with --run, or remove it.")
        for name, part in self.parts.items():
            part.load_state_dict(checkpoint["state"][name])
        self.rng.bit_generator.state = checkpoint["random"]["numpy"]
        torch.set_rng_state(checkpoint["random"]["torch"])
        torch.cuda.set_rng_state_all(checkpoint["random"]["cuda"])
        return int(checkpoint["epoch"])


class _Log:
    """The first line names the columns; every epoch writes the same ones, `epoch` first."""

    def __init__(self, run: Path, *, keep_epochs: int) -> None:
        """Go on with a log of `keep_epochs` lines; what a cut-off run wrote behind its last checkpoint is dropped."""
        self._csv, self._png = run / "log.csv", run / "curves.png"
        self._rows: list[dict[str, float]] = []
        if keep_epochs and self._csv.exists():
            with self._csv.open(encoding="utf-8", newline="") as file:
                self._rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
            self._rows = self._rows[:keep_epochs]

    def write(self, row: Mapping[str, float]) -> None:
        """Add an epoch's line, and draw the curves anew."""
        self._rows.append({name: float(f"{value:.5g}") for name, value in row.items()})
        with self._csv.open("w", encoding="utf-8", newline="") as file:
            lines = csv.DictWriter(file, list(row))
            lines.writeheader()
            lines.writerows({name: f"{value:g}" for name, value in kept.items()} for kept in self._rows)
        self._draw()

    def _draw(self) -> None:
        names = [name for name in self._rows[-1] if name not in {"epoch", "seconds"}]
        figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
        epochs = [row["epoch"] for row in self._rows]
        for position, name in enumerate(names, start=1):
            axes = figure.add_subplot(1, len(names), position)
            axes.plot(epochs, [row[name] for row in self._rows], marker=".")
            axes.set(title=name, xlabel="epoch")
            axes.grid(alpha=0.3)
        figure.savefig(self._png, dpi=110)


def _at_most(batches: Iterable[Any], steps: int) -> Iterator[Any]:
    for _, batch in zip(range(steps), batches, strict=False):
        yield batch


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
