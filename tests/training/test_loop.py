"""The loop of every run: what it writes, and that a run that was cut off goes on as if it had not been."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.loop import CHECKPOINT, Task, TrainingError, fit
from training.optimiser import OptimiserConfig

CONFIG = {"seed": 5, "what": "a line"}
OPTIMISER = OptimiserConfig(epochs=4, batch=8, learning_rate=0.05, weight_decay=0.0, average_decay=0.9)


class Line(Task):
    """Fits y = 2x + 1 from points drawn anew, with dropout, so that both generators matter."""

    steps_per_epoch = 6

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.3)
        self.epochs = 0

    def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
        """Points."""
        for _ in range(self.steps_per_epoch):
            yield torch.from_numpy(rng.normal(size=(8, 1)).astype(np.float32))

    def loss(self, batch: Tensor) -> Tensor:
        """Squared, with dropout."""
        error: Tensor = self.dropout(self.network(batch) - (2 * batch + 1))
        return (error**2).mean()

    def figures(self, network: nn.Module) -> dict[str, float]:
        """What the line says at 1."""
        self.epochs += 1
        return {"at_one": float(network(torch.ones(1, 1)))}


class CutOff(Line):
    """A run that the machine ends in its third epoch."""

    def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
        """Points, twice."""
        if self.epochs == 2:
            raise KeyboardInterrupt
        return super().batches(rng)


def trained(kind: type[Line], run: Path) -> Line:
    torch.manual_seed(1)
    task = kind()
    fit(task, OPTIMISER, run, config=CONFIG, seed=5)
    return task


def test_run_leaves_log_curve_and_checkpoint(tmp_path: Path) -> None:
    """A line an epoch, an image of the curves, and the averaged weights."""
    trained(Line, tmp_path)

    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,at_one,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["config"] == CONFIG
    assert set(checkpoint["weights"]) == {"weight", "bias"}


def test_run_goes_on_exactly(tmp_path: Path) -> None:
    """A run that was cut off in its third epoch ends with the very weights and log of one that was not."""
    whole = trained(Line, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(CutOff, tmp_path / "cut")
    resumed = trained(Line, tmp_path / "cut")

    assert resumed.epochs == 2
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    whole_log, cut_log = (
        [line.rsplit(",", 1)[0] for line in (tmp_path / run / "log.csv").read_text().splitlines()]
        for run in ("whole", "cut")
    )
    assert whole_log == cut_log
    first, second = (torch.load(tmp_path / run / CHECKPOINT, weights_only=True)["weights"] for run in ("whole", "cut"))
    assert torch.equal(first["weight"], second["weight"])


def test_other_config_does_not_go_on(tmp_path: Path) -> None:
    """A folder holds one run: another config is refused and nothing is overwritten."""
    trained(Line, tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()

    with pytest.raises(TrainingError, match="another config"):
        fit(Line(), OPTIMISER, tmp_path, config={**CONFIG, "seed": 6}, seed=6)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


class Broken(Line):
    """A loss that is not a number."""

    def loss(self, batch: Tensor) -> Tensor:
        """No number."""
        return super().loss(batch) * torch.nan


def test_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    """The message says in which epoch and what to do."""
    with pytest.raises(TrainingError, match="epoch 1: lower the learning rate"):
        trained(Broken, tmp_path)
