"""The libraries that ONNX Runtime needs on an NVIDIA GPU: loaded in silence, and the missing one named."""

import contextlib
import ctypes
from pathlib import Path

import onnxruntime

_FOLDER = Path(onnxruntime.__file__).parent / "capi"
_SHARED = "libonnxruntime_providers_shared.so"
_CUDA = "libonnxruntime_providers_cuda.so"


def has_gpu() -> bool:
    """Whether the driver shows one: the CUDA build of ONNX Runtime lists its provider on machines without a GPU too."""
    return not missing_gpu()


def missing_gpu() -> str:
    """Why there is no GPU to compute on, or nothing."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "NVIDIA's driver (libcuda.so.1) is missing"
    count = ctypes.c_int(0)
    if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0:
        return ""
    return "NVIDIA's driver shows no GPU"


def preload() -> None:
    """Load CUDA and cuDNN as the wheels of Python packages bring them; it costs most of a second, once."""
    # It prints a line for each library that it does not find, on stdout, where answers belong.
    with contextlib.redirect_stdout(None):
        onnxruntime.preload_dlls()


def missing_library(folder: Path = _FOLDER) -> str:
    """The first library without which the CUDA provider cannot be loaded, or nothing.

    The loader itself is asked: it knows where this process looks for libraries.
    """
    preload()
    try:
        # The provider calls back into this one.
        ctypes.CDLL(str(folder / _SHARED), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / _CUDA))
    except OSError as error:
        return str(error).partition(":")[0]
    return ""
