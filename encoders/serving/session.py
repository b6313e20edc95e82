"""A bundle that runs: batches of preprocessed inputs in, unit-length embeddings or raw boxes out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.errors import BundleError, ModelError
from encoders.serving.calibration import (
    batch_sizes,
    best_batch,
    fixed_sizes,
    seconds_in_turn,
    short_batch,
    smallest_of_the_best,
    timed,
)
from encoders.serving.graph import Graph
from encoders.serving.providers import SessionOptions, compute_threads
from encoders.serving.runs import Feeds, Outputs

Embedding: TypeAlias = NDArray[np.float32]
ModelInput: TypeAlias = NDArray[Any]
"""One input of a batch: pixels (H, W, 3) uint8, or tokens (T,) int64."""

Result = TypeVar("Result")

# A CPU gains little from larger batches, and trying them would make the start slow.
_LARGEST_TRIED_ON_CPU = 32
_LARGEST_TRIED_ON_GPU = 64
# ONNX Runtime runs a shape once before it captures it.
_RUNS_UNTIL_CAPTURED = 3
# An embedding shorter than this has no direction: dividing by its length would only amplify rounding errors.
_LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class RawDetections:
    """A detector's outputs for one image: `boxes` (K, 4) in normalized coordinates of its input, and `scores` (K, C)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class BatchResult(Generic[Result]):
    """What a model computed for a batch, and the seconds that it took.

    `busy_s` are the device's own: on a GPU what a batch of this size took alone, since `infer_s` there includes the wait
    for the interpreter, during which the device does nothing.
    """

    outputs: Outputs
    split: Callable[[Outputs], Sequence[Result | ModelError]]
    infer_s: float
    busy_s: float

    @cached_property
    def results(self) -> Sequence[Result | ModelError]:
        """One result or error for each input, in order; made by the thread that asks first, so not by the model's."""
        return self.split(self.outputs)


class Session(ABC, Generic[Result]):
    """What both kinds of session share: batches of 1 to `largest_batch` inputs, each size run before the first request.

    `short_batch` inputs run in little more time than one does. On a GPU batches are filled up to one of `fixed_sizes`, which are
    empty where any number of inputs is run as it comes.
    """

    outputs: ClassVar[tuple[str, ...]]

    def __init__(self, bundle: Bundle, options: SessionOptions | None = None) -> None:
        self.bundle = bundle
        self.largest_batch = 1
        self.short_batch = 1
        self.fixed_sizes: tuple[int, ...] = ()
        # What the outputs for one input take as float32, as large as they have been so far.
        self.answer_bytes = 0
        # How long one batch of each size takes alone.
        self._seconds: dict[int, float] = {}
        self._options = options or SessionOptions()
        self.threads = compute_threads(self._options)
        inputs = ("tokens", "lengths") if bundle.kind == "text" else ("image",)
        self.graph = Graph(bundle, self._options, inputs=inputs, outputs=self.outputs)

    def warm_up(self) -> None:
        """Choose the largest batch where none is set, run every size that is served, and choose the short batch.

        It takes seconds. `BundleError` where the model cannot do what its description says.
        """
        # The first run allocates memory and compiles kernels, so it must not be part of the calibration.
        self._try(1)
        limit = self.bundle.max_batch or max(_LARGEST_TRIED_ON_GPU, self._options.max_batch)
        if self.graph.fixes_sizes:
            self._warm_up_sizes(limit)
        else:
            self._warm_up_any(limit)

    def rehearse(self) -> None:
        """Run every fixed size on the thread that will serve: CUDA keeps its captured graphs for each thread apart."""
        if self.graph.fixes_sizes:
            for size in self.fixed_sizes:
                for _ in range(_RUNS_UNTIL_CAPTURED):
                    self._try(size)

    def rate(self) -> float:
        """Inputs a second in batches of the largest size, tried once."""
        return self.largest_batch / self._try(self.largest_batch)

    def works(self) -> bool:
        """Whether a blank input can be run; after some errors of CUDA nothing can until the process starts again."""
        try:
            self._try(1)
        except Exception:  # noqa: BLE001 - whatever it is, the caller has logged the first error
            return False
        return True

    def run(self, items: Sequence[ModelInput]) -> BatchResult[Result]:
        """Run one batch; `ModelError` where the whole run fails."""
        count = len(items)
        size = next(size for size in self.fixed_sizes if size >= count) if self.graph.fixes_sizes else count
        outputs, infer_s = self.graph.compute(self._feeds(items, size))
        busy_s = min(infer_s, self._seconds.get(size, infer_s))
        return BatchResult([output[:count] for output in outputs], self._split, infer_s, busy_s)

    def _feeds(self, items: Sequence[ModelInput], size: int) -> Feeds:
        """One batch, filled up to `size`: models treat inputs independently, so what fills it changes no result."""
        staging = self.graph.staging(size)
        if staging is not None:
            np.stack(items, out=staging[: len(items)])  # what an earlier batch left behind fills the rest
            return {"image": staging}
        return _feeds(self.bundle, [*items, *[items[-1]] * (size - len(items))])

    def _warm_up_any(self, limit: int) -> None:
        """The CPU runs any size; it gains little from large batches."""
        chosen = self._options.max_batch or best_batch(self._try, min(_LARGEST_TRIED_ON_CPU, limit))
        self.largest_batch = min(chosen, limit)
        # Calibration may have tried larger batches than are served: their memory is given back.
        self._try(1, then_shrink=True)
        sizes = batch_sizes(self.largest_batch)
        self.short_batch = short_batch({size: min(timed(self._try, size) for _ in range(2)) for size in sizes})
        # An idle model keeps no memory for its largest batch; allocating it again costs little.
        self._try(1, then_shrink=True)

    def _warm_up_sizes(self, limit: int) -> None:
        """A GPU runs few sizes, each in a session or a CUDA graph that sees no other."""
        tried = fixed_sizes(min(self._options.max_batch or _LARGEST_TRIED_ON_GPU, limit))
        seconds = seconds_in_turn(self._try, tried)
        self.largest_batch = tried[-1] if self._options.max_batch else smallest_of_the_best(seconds)
        self.fixed_sizes = tuple(size for size in tried if size <= self.largest_batch)
        self._seconds = {size: seconds[size] for size in self.fixed_sizes}
        self.graph.keep_sizes(self.fixed_sizes)
        self.short_batch = short_batch(self._seconds)

    @abstractmethod
    def _split(self, outputs: list[NDArray[np.float32]]) -> Sequence[Result | ModelError]:
        """Split a batch's outputs into one result for each input."""

    @abstractmethod
    def _expected_shapes(self, count: int) -> list[tuple[int | None, ...]]:
        """The shape of each output for `count` inputs; None stands for any length."""

    def _try(self, count: int, *, then_shrink: bool = False) -> float:
        """Run a batch of blank inputs and check the shapes of its outputs; returns the seconds that it took."""
        feeds = _feeds(self.bundle, [_blank(self.bundle)] * count)
        try:
            outputs, infer_s = self.graph.compute(feeds, then_shrink=then_shrink)
        except ModelError as error:
            raise BundleError(f"{error} (tried with {count} blank inputs)") from error
        for name, output, expected in zip(self.outputs, outputs, self._expected_shapes(count), strict=True):
            if len(output.shape) != len(expected) or any(
                length not in {None, found} for length, found in zip(expected, output.shape, strict=True)
            ):
                raise BundleError(f"{self.graph.path}: {name} is {output.shape}, its bundle says {expected}.")
        floats = sum(output.size for output in outputs) // count
        self.answer_bytes = max(self.answer_bytes, np.dtype(np.float32).itemsize * floats)
        return infer_s


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
