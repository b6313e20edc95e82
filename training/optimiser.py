"""How every run of ours steps: AdamW, a learning rate that rises and falls once, and weights averaged over the steps."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """How long and how fast; the learning rate rises, then falls to nothing."""

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    average_decay: float


def averaged(network: nn.Module, config: OptimiserConfig) -> AveragedModel:
    """A copy of the network that follows it, buffers included."""
    decay = get_ema_multi_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]  # torch leaves it so
    return AveragedModel(network, multi_avg_fn=decay, use_buffers=True)


def optimiser_of(
    parameters: Iterable[nn.Parameter], config: OptimiserConfig, *, steps_per_epoch: int
) -> tuple[torch.optim.AdamW, OneCycleLR]:
    """The optimiser and the schedule to step behind it."""
    optimiser = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)
    schedule = OneCycleLR(
        optimiser,
        config.learning_rate,
        total_steps=config.epochs * steps_per_epoch + 1,
        pct_start=config.warmup_epochs / config.epochs,
    )
    return optimiser, schedule
