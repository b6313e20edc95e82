"""One ONNX graph of a bundle, loaded and checked: named arrays in, named arrays out."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.errors import BundleError, ModelError, first_line
from encoders.optimizers import disabled_optimizers
from encoders.serving.providers import CPU, SessionOptions, runtime_options, runtime_providers

Feeds: TypeAlias = Mapping[str, NDArray[Any]]

logger = logging.getLogger(__name__)


class Graph:
    """A bundle's model file at one precision on one provider; `BundleError` names a file that cannot be used."""

    def __init__(
        self, bundle: Bundle, options: SessionOptions, *, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        default = "fp32" if "fp32" in bundle.precisions else next(iter(bundle.precisions))
        self.precision = options.precision or default
        self.path = bundle.path_of(self.precision)
        self.sha256 = bundle.precisions[self.precision].sha256
        self._outputs = tuple(outputs)
        self._session = self._open(bundle, options)
        self.provider: str = self._session.get_providers()[0]
        self._shrinking = onnxruntime.RunOptions()
        arena = "cpu:0" if self.is_on_cpu else "gpu:0"
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", arena)
        self._check_names(inputs)

    @property
    def is_on_cpu(self) -> bool:
        """Whether any batch size is as good as another."""
        return self.provider == CPU

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

    def _open(self, bundle: Bundle, options: SessionOptions) -> onnxruntime.InferenceSession:
        model = self._verified_bytes()
        providers = runtime_providers(options, self.precision)
        try:
            # From bytes, ONNX Runtime reads no other file: weights outside of the verified ones are refused.
            session = onnxruntime.InferenceSession(
                model,
                runtime_options(options),
                providers=providers,
                disabled_optimizers=disabled_optimizers(self.precision),
            )
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise BundleError(f"{self.path} cannot be loaded by ONNX Runtime: {first_line(error)}") from error
        chosen, provider = providers[0][0], session.get_providers()[0]
        # ONNX Runtime falls back to the CPU without an error. That is right for `auto` alone.
        if provider != chosen:
            if options.provider != "auto":
                raise BundleError(
                    f"{self.path}: {chosen} was asked for and cannot start; install its libraries or use auto."
                )
            logger.warning(
                "the GPU cannot be used", extra={"bundle": bundle.name, "wanted": chosen, "provider": provider}
            )
        return session

    def _verified_bytes(self) -> bytes:
        # Read once: a file that changes between the check and a second reading would run unchecked.
        try:
            model = self.path.read_bytes()
        except OSError as error:
            raise BundleError(f"{self.path} cannot be read: {error.strerror}.") from error
        if hashlib.sha256(model).hexdigest() != self.sha256:
            raise BundleError(f"{self.path} is damaged or was changed since it was described.")
        return model

    def _check_names(self, inputs: Sequence[str]) -> None:
        found = {value.name for value in self._session.get_inputs()}
        computed = {value.name for value in self._session.get_outputs()}
        if found != set(inputs) or not computed.issuperset(self._outputs):
            raise BundleError(
                f"{self.path} has the inputs {', '.join(sorted(found))} and the outputs {', '.join(sorted(computed))}; "
                f"its kind of bundle has the inputs {', '.join(inputs)} and the outputs {', '.join(self._outputs)}."
            )
