"""A bundle that runs: batches of preprocessed inputs in, unit-length embeddings or raw boxes out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.errors import BundleError, ModelError
from encoders.serving.calibration import batch_sizes, best_batch, short_batch, timed
from encoders.serving.graph import Feeds, Graph
from encoders.serving.providers import SessionOptions

Embedding: TypeAlias = NDArray[np.float32]
ModelInput: TypeAlias = NDArray[Any]
"""One input of a batch: pixels (H, W, 3) uint8, or tokens (T,) int64."""

Result = TypeVar("Result")

# A CPU gains little from larger batches, and trying them would make the start slow.
_LARGEST_TRIED_ON_CPU = 32
_LARGEST_TRIED_ON_GPU = 64
# An embedding shorter than this has no direction: dividing by its length would only amplify rounding errors.
_LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class RawDetections:
    """A detector's outputs for one image: `boxes` (K, 4) in normalized coordinates of its input, and `scores` (K, C)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BatchResult(Generic[Result]):
    """One result or error for each input of a batch, in order, and the seconds that the model computed."""

    results: Sequence[Result | ModelError]
    infer_s: float


class Session(ABC, Generic[Result]):
    """What both kinds of session share: batches of 1 to `largest_batch` inputs, each size run before the first request.

    `short_batch` inputs run in little more time than one does.
    """

    outputs: ClassVar[tuple[str, ...]]

    def __init__(self, bundle: Bundle, options: SessionOptions | None = None) -> None:
        self.bundle = bundle
        self.largest_batch = 1
        self.short_batch = 1
        self._options = options or SessionOptions()
        inputs = ("tokens", "lengths") if bundle.kind == "text" else ("image",)
        self.graph = Graph(bundle, self._options, inputs=inputs, outputs=self.outputs)

    def warm_up(self) -> None:
        """Choose the largest batch where none is set, run every bucket, and choose the short batch; takes seconds.

        `BundleError` where the model cannot do what its description says.
        """
        # The first run allocates memory and compiles kernels, so it must not be part of the calibration.
        self._try(1)
        limit = self.bundle.max_batch or max(_LARGEST_TRIED_ON_GPU, self._options.max_batch)
        tried = _LARGEST_TRIED_ON_CPU if self.graph.is_on_cpu else _LARGEST_TRIED_ON_GPU
        chosen = self._options.max_batch or best_batch(self._try, min(tried, limit))
        self.largest_batch = min(chosen, limit)
        # Calibration may have tried larger batches than are served: their memory is given back.
        self._try(1, then_shrink=True)
        sizes = batch_sizes(self.largest_batch)
        # Once more every size that will be served, so that no request pays for its first run on a GPU.
        for size in sizes:
            self._try(size)
        self.short_batch = short_batch({size: min(timed(self._try, size) for _ in range(2)) for size in sizes})
        if self.graph.is_on_cpu:
            # An idle model keeps no memory for its largest batch; allocating it again costs little on a CPU.
            self._try(1, then_shrink=True)

    def run(self, items: Sequence[ModelInput]) -> BatchResult[Result]:
        """Run one batch; `ModelError` where the whole run fails."""
        count = len(items)
        # Copies of the last input fill the bucket. Models treat inputs independently, so they change no result.
        padding = [items[-1]] * (self._bucket(count) - count)
        outputs, infer_s = self.graph.compute(_feeds(self.bundle, [*items, *padding]))
        return BatchResult(self._split([output[:count] for output in outputs]), infer_s)

    @abstractmethod
    def _split(self, outputs: list[NDArray[np.float32]]) -> Sequence[Result | ModelError]:
        """Split a batch's outputs into one result for each input."""

    @abstractmethod
    def _expected_shapes(self, count: int) -> list[tuple[int | None, ...]]:
        """The shape of each output for `count` inputs; None stands for any length."""

    def _bucket(self, count: int) -> int:
        """Round up on a GPU, where each new shape costs a search for algorithms; a CPU runs any size as it comes."""
        if self.graph.is_on_cpu:
            return count
        return next(size for size in batch_sizes(self.largest_batch) if size >= count)

    def _try(self, count: int, *, then_shrink: bool = False) -> None:
        """Run a batch of blank inputs and check the shapes of its outputs."""
        try:
            outputs, _ = self.graph.compute(_feeds(self.bundle, [_blank(self.bundle)] * count), then_shrink=then_shrink)
        except ModelError as error:
            raise BundleError(f"{error} (tried with {count} blank inputs)") from error
        for name, output, expected in zip(self.outputs, outputs, self._expected_shapes(count), strict=True):
            if len(output.shape) != len(expected) or any(
                length not in {None, found} for length, found in zip(expected, output.shape, strict=True)
            ):
                raise BundleError(f"{self.graph.path}: {name} is {output.shape}, its bundle says {expected}.")


class EmbeddingSession(Session[Embedding]):
    """A bundle that computes embeddings, (D,) float32 of unit length for each input."""

    outputs = ("embedding",)

    def _split(self, outputs: list[NDArray[np.float32]]) -> Sequence[Embedding | ModelError]:
        raw = outputs[0].astype(np.float32, copy=False)
        # A bundle's graph normalises already; in fp16 and int8 the lengths come out only roughly 1.
        lengths = np.sqrt(np.einsum("nd,nd->n", raw, raw))
        is_usable = np.isfinite(lengths) & (lengths > _LEAST_LENGTH)
        unit = raw / np.where(is_usable, lengths, 1.0)[:, None]
        return [
            embedding if usable else ModelError("the model gave no direction for this input")
            for embedding, usable in zip(unit, is_usable.tolist(), strict=True)
        ]

    def _expected_shapes(self, count: int) -> list[tuple[int | None, ...]]:
        return [(count, self.bundle.dimension)]


class DetectorSession(Session[RawDetections]):
    """A bundle that finds objects; `encoders.serving.detection` turns its raw outputs into a list of them."""

    outputs = ("boxes", "scores")

    def _split(self, outputs: list[NDArray[np.float32]]) -> Sequence[RawDetections | ModelError]:
        return [RawDetections(boxes, scores) for boxes, scores in zip(*outputs, strict=True)]

    def _expected_shapes(self, count: int) -> list[tuple[int | None, ...]]:
        return [(count, None, 4), (count, None, len(self.bundle.labels))]


def _feeds(bundle: Bundle, items: Sequence[ModelInput]) -> Feeds:
    if bundle.kind != "text":
        return {"image": np.stack(items) if len(items) > 1 else items[0][None]}
    lengths = np.asarray([len(tokens) for tokens in items], dtype=np.int64)
    tokens = np.zeros((len(items), int(lengths.max())), dtype=np.int64)
    for row, item in enumerate(items):
        tokens[row, : len(item)] = item
    return {"tokens": tokens, "lengths": lengths}


def _blank(bundle: Bundle) -> ModelInput:
    if bundle.kind == "text":
        return np.zeros(bundle.max_tokens or 1, dtype=np.int64)
    width_px, height_px = bundle.image_preprocessing.size
    return np.zeros((height_px, width_px, 3), dtype=np.uint8)
