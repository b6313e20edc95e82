"""How many inputs a foreign graph computes at once, found by trying."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from encoders.errors import BundleError
from encoders.importers.onnx.graphs import open_batch
from encoders.importers.trial import Feeds, Trial

Outputs: TypeAlias = Mapping[str, NDArray[np.float32]]
Surround: TypeAlias = Callable[[ModelProto, int | None], ModelProto]
"""Puts the nodes of ours around a network that computes so many inputs; None is any number."""

# A graph that mixes the inputs of a batch is wrong by far more, kernels that differ by batch size by far less.
MAX_DIFFERENCE = 2e-3


@dataclass(frozen=True, slots=True)
class TriedGraph:
    """A network with nodes of ours around it, its `max_batch` (None: any number) and the graph's outputs for the trial inputs.

    `tensors` are those of the network that the nodes of ours read.
    """

    network: ModelProto
    tensors: Sequence[str]
    surround: Surround
    max_batch: int | None
    outputs: Outputs

    @property
    def graph(self) -> ModelProto:
        """The graph that is served."""
        return self.surround(self.network, self.max_batch)


def try_batches(
    model: ModelProto,
    surround: Surround,
    *,
    tensors: Sequence[str],
    singles: Sequence[Feeds],
    together: Feeds,
    batch: int,
    check: Callable[[Outputs], None],
) -> TriedGraph:
    """Compute the inputs `singles` alone, `check` the outputs, then compute all `together`: equal outputs allow any batch.

    `batch` is the number of inputs that the model's file fixes; where that cannot be changed it must be 1.
    """
    trial = Trial(surround(model, batch))
    single_outputs = [trial.run(repeated(feeds, batch)) for feeds in singles]
    outputs = {name: np.concatenate([each[name][:1] for each in single_outputs]) for name in single_outputs[0]}
    check(outputs)
    opened = open_batch(model, batch)
    if agrees(surround(opened, None), together, outputs):
        return TriedGraph(opened, tensors, surround, None, outputs)
    if batch > 1:
        raise BundleError(f"The model reads exactly {batch} inputs at a time: export it with an open batch, or with 1.")
    return TriedGraph(model, tensors, surround, 1, outputs)


def repeated(feeds: Feeds, count: int) -> Feeds:
    """A batch of `count` copies of one input."""
    return {name: values.repeat(count, axis=0) for name, values in feeds.items()}


def agrees(model: ModelProto | Path, feeds: Feeds, outputs: Outputs) -> bool:
    """Whether the graph computes the same; one that cannot run so many at once does not."""
    try:
        found = Trial(model).run(feeds)
    except BundleError:
        return False
    return all(
        found[name].shape == expected.shape and bool(np.abs(found[name] - expected).max(initial=0) <= MAX_DIFFERENCE)
        for name, expected in outputs.items()
    )
