"""How a loaded graph runs: batches of any size in one session, or one size for ever, in memory that stays."""

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Feeds: TypeAlias = Mapping[str, NDArray[Any]]
Outputs: TypeAlias = list[NDArray[np.float32]]

# ONNX Runtime keeps one captured CUDA graph for each number; -1 runs without capturing.
_GRAPH_NUMBER = "gpu_graph_id"
_UNCAPTURED = "-1"
_CUDA_RUNTIMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")


class AnySize:
    """Runs whatever shape comes, as a CPU may."""

    def __init__(self, session: onnxruntime.InferenceSession, outputs: Sequence[str]) -> None:
        self._session = session
        self._outputs = tuple(outputs)

    def run(self, feeds: Feeds, options: onnxruntime.RunOptions | None = None) -> Outputs:
        """Run once; returns the outputs in the order asked for."""
        # Binding spares a copy of every tensor on a GPU and costs 5 microseconds on a CPU.
        binding = self._session.io_binding()
        for name, values in feeds.items():
            binding.bind_cpu_input(name, values)
        for name in self._outputs:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding, options)
        return [output.numpy() for output in binding.get_outputs()]


class OneSize:
    """Runs images in batches of one size that its session never leaves, since a change of shape costs a GPU 45 to 180 ms.

    `staging` is written by the caller before each run. It is page-locked where CUDA can do that, so that the device
    reads it without a copy in between, and its counterpart on the device stays bound.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, feeds: Feeds, outputs: Sequence[str], *, device: str
    ) -> None:
        ((name, values),) = feeds.items()
        self.staging = page_locked(values.shape, values.dtype) if device == "cuda" else np.empty_like(values)
        self.staging[...] = values
        self._session = session
        self._on_device = onnxruntime.OrtValue.ortvalue_from_numpy(self.staging, device, 0)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(name, self._on_device)
        self._outputs = tuple(outputs)

    def run(self, feeds: Feeds, options: onnxruntime.RunOptions | None = None) -> Outputs:
        """Run once; feeds that lie in `staging` already are not copied."""
        _stage(self.staging, feeds)
        self._on_device.update_inplace(self.staging)
        # An output that stayed bound would keep its shape, and its memory, which callers of the last batch still read.
        self._binding.clear_binding_outputs()
        for output in self._outputs:
            self._binding.bind_output(output)
        self._session.run_with_iobinding(self._binding, options)
        return [output.numpy() for output in self._binding.get_outputs()]


class CapturedSize:
    """Replays a CUDA graph of one batch size: a session has one for each, and their memory and weights in common."""

    def __init__(self, session: onnxruntime.InferenceSession, feeds: Feeds, outputs: Sequence[str]) -> None:
        ((name, values),) = feeds.items()
        self.staging = page_locked(values.shape, values.dtype)
        self.staging[...] = values
        self._session = session
        self._on_device = onnxruntime.OrtValue.ortvalue_from_numpy(self.staging, "cuda", 0)
        # A graph replays addresses, so the outputs too must lie where they lay when it was captured.
        shapes = [output.shape for output in self._uncaptured(name, outputs)]
        self._outputs = [
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cuda", 0) for shape in shapes
        ]
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(name, self._on_device)
        for output, value in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(output, value)
        self._options = _numbered(str(len(values)))

    def run(self, feeds: Feeds, _: onnxruntime.RunOptions | None = None) -> Outputs:
        """Run once, the first time to capture; feeds that lie in `staging` already are not copied."""
        _stage(self.staging, feeds)
        self._on_device.update_inplace(self.staging)
        self._session.run_with_iobinding(self._binding, self._options)
        return [output.numpy() for output in self._outputs]

    def _uncaptured(self, name: str, outputs: Sequence[str]) -> Outputs:
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(name, self._on_device)
        for output in outputs:
            binding.bind_output(output)
        self._session.run_with_iobinding(binding, _numbered(_UNCAPTURED))
        return [output.numpy() for output in binding.get_outputs()]


SizedRun: TypeAlias = AnySize | OneSize | CapturedSize


def _stage(staging: NDArray[Any], feeds: Feeds) -> None:
    (values,) = feeds.values()
    if values is not staging:
        np.copyto(staging, values)


def _numbered(number: str) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(_GRAPH_NUMBER, number)
    return options


def page_locked(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Memory that a GPU reads by itself, as long as the array lives; ordinary memory where CUDA does not answer."""
    array = np.zeros(shape, dtype)
    for name in _CUDA_RUNTIMES:
        try:
            runtime = ctypes.CDLL(name)
        except OSError:
            continue
        address = ctypes.c_void_p(array.ctypes.data)
        if runtime.cudaHostRegister(address, ctypes.c_size_t(array.nbytes), ctypes.c_uint(0)) == 0:
            weakref.finalize(array, runtime.cudaHostUnregister, address)
        break
    return array
