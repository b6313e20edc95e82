"""One ONNX graph of a bundle, loaded and checked: named arrays in, named arrays out."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.errors import BundleError, ModelError
from encoders.providers import CPU, SessionOptions, open_session, precision_of

Feeds: TypeAlias = Mapping[str, NDArray[Any]]


class Graph:
    """A bundle's model file at one precision on one provider."""

    def __init__(self, bundle: Bundle, options: SessionOptions, *, takes: Sequence[str], gives: Sequence[str]) -> None:
        self.precision = precision_of(bundle, options)
        self.path = bundle.path_of(self.precision)
        self.sha256 = bundle.precisions[self.precision].sha256
        self._outputs = tuple(gives)
        self._session = open_session(bundle, self.precision, options)
        self.provider: str = self._session.get_providers()[0]
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", self._arena)
        self._check_names(takes, gives)

    @property
    def is_on_cpu(self) -> bool:
        """Whether any batch size is as good as another."""
        return self.provider == CPU

    @property
    def _arena(self) -> str:
        return "cpu:0" if self.is_on_cpu else "gpu:0"

    def compute(self, feeds: Feeds, *, then_shrink: bool = False) -> tuple[list[NDArray[np.float32]], float]:
        """Run once; returns the outputs in the order asked for and the seconds it took.

        With `then_shrink` the memory that larger batches needed is given back.
        """
        # Binding spares a copy of every tensor on a GPU and costs 5 microseconds on a CPU.
        binding = self._session.io_binding()
        for name, values in feeds.items():
            binding.bind_cpu_input(name, values)
        for name in self._outputs:
            binding.bind_output(name)
        started_s = time.perf_counter()
        try:
            self._session.run_with_iobinding(binding, self._shrinking if then_shrink else None)
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise ModelError(f"{self.path} failed: {error}") from error
        infer_s = time.perf_counter() - started_s
        return [output.numpy() for output in binding.get_outputs()], infer_s

    def _check_names(self, takes: Sequence[str], gives: Sequence[str]) -> None:
        taken = {value.name for value in self._session.get_inputs()}
        given = {value.name for value in self._session.get_outputs()}
        if taken != set(takes) or not given.issuperset(gives):
            raise BundleError(
                f"{self.path} takes {', '.join(sorted(taken))} and gives {', '.join(sorted(given))}; "
                f"its kind of bundle takes {', '.join(takes)} and gives {', '.join(gives)}."
            )
