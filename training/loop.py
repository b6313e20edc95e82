"""The loop of every run: steps with progress, a line in `log.csv`, a curve and a checkpoint after each epoch."""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from training.log import Log
from training.optimiser import OptimiserConfig, averaged, optimiser_of
from training.task import Task

CHECKPOINT = "checkpoint.pt"


class TrainingError(Exception):
    """The run cannot go on; the message says why and what to do."""


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
    log = Log(run, keep_epochs=done)
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
