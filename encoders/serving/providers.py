"""Where a model computes: the choice of ONNX Runtime's provider and the options that each one needs."""

from dataclasses import dataclass
from typing import Any, Literal

import onnxruntime

from domain.cores import usable_cores
from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.serving.cuda_libraries import has_gpu, preload

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to run a bundle; 0 and "" leave the choice to the machine.

    `threads` defaults to all cores but one, which the RPC threads need; `precision` to fp16 on a GPU where the bundle has
    it, else fp32; `max_batch` to the one that a calibration at warm-up finds. `fixed_sizes` lets the CPU run batches as a
    GPU must, each in one of few sizes.
    """

    provider: Provider = "auto"
    threads: int = 0
    precision: str = ""
    max_batch: int = 0
    gpu_memory_mib: int = 0
    fixed_sizes: bool = False


def compute_threads(options: SessionOptions) -> int:
    """The threads that compute inside a model on the CPU."""
    return options.threads or max(1, usable_cores() - 1)


def runtime_options(options: SessionOptions) -> onnxruntime.SessionOptions:
    """ONNX Runtime's own options of a session."""
    runtime = onnxruntime.SessionOptions()
    runtime.intra_op_num_threads = compute_threads(options)
    runtime.inter_op_num_threads = 1
    # Spinning threads take the CPU from the threads that decode and answer.
    runtime.add_session_config_entry("session.intra_op.allow_spinning", "0")
    runtime.log_severity_level = 3
    return runtime


def chosen_provider(options: SessionOptions) -> str:
    """ONNX Runtime's name of the provider that is asked for; `auto` is CUDA where there is a GPU.

    `BundleError` where this ONNX Runtime was built without it.
    """
    if options.provider == "cpu":
        return CPU
    if options.provider == "auto":
        return CUDA if CUDA in onnxruntime.get_available_providers() and has_gpu() else CPU
    asked_for = TENSORRT if options.provider == "tensorrt" else CUDA
    if asked_for not in onnxruntime.get_available_providers():
        raise BundleError(
            f"{asked_for} was asked for, and this ONNX Runtime is for the CPU; install it by `make venv-gpu`."
        )
    return asked_for


def default_precision(bundle: Bundle, provider: str) -> str:
    """What runs where none is asked for: half precision on a GPU, if the bundle's gate let it pass, else fp32."""
    if provider != CPU and "fp16" in bundle.precisions:
        return "fp16"
    return "fp32" if "fp32" in bundle.precisions else next(iter(bundle.precisions))


def runtime_providers(
    chosen: str, options: SessionOptions, precision: str, *, cuda_graph: bool
) -> list[tuple[str, dict[str, Any]]]:
    """The provider with its options, then those that take over operators which it lacks."""
    cpu: tuple[str, dict[str, Any]] = (CPU, {})
    if chosen == CPU:
        return [cpu]
    cuda = {
        # An exhaustive search costs 634 ms instead of 1.9 for each new shape.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Arenas that double keep their memory for ever.
        "arena_extend_strategy": "kSameAsRequested",
        # Tensor cores read channels last; without it each convolution transposes its input and output.
        "prefer_nhwc": "1",
        "enable_cuda_graph": "1" if cuda_graph else "0",
    }
    limit = {"gpu_mem_limit": options.gpu_memory_mib << 20} if options.gpu_memory_mib else {}
    preload()
    tensorrt = [(TENSORRT, {"trt_fp16_enable": precision == "fp16"})] if chosen == TENSORRT else []
    return [*tensorrt, (CUDA, cuda | limit), cpu]
