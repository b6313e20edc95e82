"""Owns what a system brings to the training loop: its network, its batches, its loss and its figures."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


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
