"""Where a model computes: the choice of ONNX Runtime's provider and the options that each one needs."""

import ctypes
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime

from encoders.bundle import Bundle
from encoders.errors import BundleError

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to run a bundle; 0 and "" leave the choice to the machine.

    `threads` defaults to all cores but one, which the RPC threads need; `precision` to fp32; `max_batch` to the one
    that a calibration at warm-up finds.
    """

    provider: Provider = "auto"
    threads: int = 0
    precision: str = ""
    max_batch: int = 0
    gpu_memory_mib: int = 0


def open_session(bundle: Bundle, precision: str, options: SessionOptions) -> onnxruntime.InferenceSession:
    """Load one precision of a bundle; `BundleError` names the file that cannot be loaded."""
    path = bundle.path_of(precision)
    model = _verified_bytes(path, bundle.precisions[precision].sha256)
    providers = _providers(options, precision)
    try:
        # From bytes, ONNX Runtime reads no other file: weights outside of the verified ones are refused.
        session = onnxruntime.InferenceSession(model, _session_options(options), providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for each status
        raise BundleError(f"{path} cannot be loaded by ONNX Runtime: {_first_line(error)}") from error
    wanted, got = providers[0][0], session.get_providers()[0]
    if got != wanted:
        if options.provider != "auto":
            raise BundleError(f"{path}: {wanted} was asked for and cannot start; install its libraries or use auto.")
        logger.warning("the GPU cannot be used", extra={"bundle": bundle.name, "wanted": wanted, "provider": got})
    return session


def precision_of(bundle: Bundle, options: SessionOptions) -> str:
    """Choose what was asked for, else fp32, else what there is."""
    if options.precision:
        bundle.path_of(options.precision)
        return options.precision
    return "fp32" if "fp32" in bundle.precisions else next(iter(bundle.precisions))


def _verified_bytes(path: Path, sha256: str) -> bytes:
    try:
        model = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(model).hexdigest() != sha256:
        raise BundleError(f"{path} is damaged or was changed since it was described.")
    return model


def _session_options(options: SessionOptions) -> onnxruntime.SessionOptions:
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = options.threads or max(1, (os.cpu_count() or 1) - 1)
    made.inter_op_num_threads = 1
    # Spinning threads take the CPU from the threads that decode and answer.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made.log_severity_level = 3
    return made


def _providers(options: SessionOptions, precision: str) -> list[tuple[str, dict[str, Any]]]:
    cpu: tuple[str, dict[str, Any]] = (CPU, {})
    chosen = options.provider
    if chosen == "auto":
        chosen = "cuda" if CUDA in onnxruntime.get_available_providers() and _has_gpu() else "cpu"
    if chosen == "cpu":
        return [cpu]
    cuda = (CUDA, _cuda_options(options))
    onnxruntime.preload_dlls()  # CUDA and cuDNN as the wheels of Python packages bring them
    if chosen == "tensorrt":
        return [(TENSORRT, {"trt_fp16_enable": precision == "fp16"}), cuda, cpu]
    return [cuda, cpu]


def _cuda_options(options: SessionOptions) -> dict[str, Any]:
    # An exhaustive search costs 634 ms instead of 1.9 for each new shape; doubling arenas keep memory for ever.
    chosen: dict[str, Any] = {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }
    if options.gpu_memory_mib:
        chosen["gpu_mem_limit"] = options.gpu_memory_mib << 20
    return chosen


def _has_gpu() -> bool:
    """Ask the driver, because the CUDA build of ONNX Runtime lists its provider on machines without a GPU too."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
