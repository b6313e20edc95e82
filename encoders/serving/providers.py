"""Where a model computes: the choice of ONNX Runtime's provider and the options that each one needs."""

import ctypes
import os
from dataclasses import dataclass
from typing import Any, Literal

import onnxruntime

from encoders.errors import BundleError

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


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


def runtime_options(options: SessionOptions) -> onnxruntime.SessionOptions:
    """ONNX Runtime's own options of a session."""
    runtime = onnxruntime.SessionOptions()
    runtime.intra_op_num_threads = options.threads or max(1, (os.cpu_count() or 1) - 1)
    runtime.inter_op_num_threads = 1
    # Spinning threads take the CPU from the threads that decode and answer.
    runtime.add_session_config_entry("session.intra_op.allow_spinning", "0")
    runtime.log_severity_level = 3
    return runtime


def runtime_providers(options: SessionOptions, precision: str) -> list[tuple[str, dict[str, Any]]]:
    """The chosen provider with its options, then those that take over operators which it lacks."""
    cpu: tuple[str, dict[str, Any]] = (CPU, {})
    chosen = options.provider
    if chosen == "auto":
        chosen = "cuda" if CUDA in onnxruntime.get_available_providers() and _has_gpu() else "cpu"
    if chosen == "cpu":
        return [cpu]
    # An exhaustive search costs 634 ms instead of 1.9 for each new shape; arenas that double keep their memory for ever.
    cuda = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    limit = {"gpu_mem_limit": options.gpu_memory_mib << 20} if options.gpu_memory_mib else {}
    asked_for = TENSORRT if chosen == "tensorrt" else CUDA
    if asked_for not in onnxruntime.get_available_providers():
        raise BundleError(
            f"{asked_for} was asked for, and this ONNX Runtime is for the CPU; install it by `make venv-gpu`."
        )
    onnxruntime.preload_dlls()  # CUDA and cuDNN as the wheels of Python packages bring them
    tensorrt = [(TENSORRT, {"trt_fp16_enable": precision == "fp16"})] if chosen == "tensorrt" else []
    return [*tensorrt, (CUDA, cuda | limit), cpu]


def _has_gpu() -> bool:
    """Ask the driver, because the CUDA build of ONNX Runtime lists its provider on machines without a GPU too."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
