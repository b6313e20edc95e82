"""How a run steps: AdamW, a learning rate by schedule, and weights averaged over the steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Schedule = Literal["one_cycle", "multi_step"]


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """How long and how fast.

    `one_cycle` rises for `warmup_epochs`, then falls to nothing; `multi_step` multiplies by `decay` at each epoch of
    `milestones`, as the published runs do. `average_decay` is that of the moving average of the weights, step by step.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    average_decay: float
    warmup_epochs: float = 1.0
    schedule: Schedule = "one_cycle"
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    clip_norm: float = 5.0


def averaged(network: nn.Module, config: OptimiserConfig) -> AveragedModel:
    """A copy of the network that follows it, buffers included."""
    decay = get_ema_multi_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]  # torch leaves it so
    return AveragedModel(network, multi_avg_fn=decay, use_buffers=True)


def optimiser_of(
    parameters: Iterable[nn.Parameter], config: OptimiserConfig, *, steps_per_epoch: int
) -> tuple[torch.optim.AdamW, LRScheduler]:
    """The optimiser and the schedule to step behind it, once a batch."""
    optimiser = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)
    if config.schedule == "multi_step":
        milestones = [epoch * steps_per_epoch for epoch in config.milestones]
        return optimiser, MultiStepLR(optimiser, milestones, config.decay)
    one_cycle = OneCycleLR(
        optimiser,
        config.learning_rate,
        total_steps=config.epochs * steps_per_epoch + 1,
        pct_start=config.warmup_epochs / config.epochs,
    )
    return optimiser, one_cycle
