"""int8 weights of eight bits, whose products overflow on processors of before about 2019."""

import platform
from pathlib import Path

from encoders.bundle import Bundle

_CPUINFO = Path("/proc/cpuinfo")
_WIDE_SUMS = {"avx512_vnni", "avx_vnni", "amx_int8"}
# Products of seven bits fit into 16 bits on every processor.
_SAFE_WEIGHT_BITS = 7


def int8_may_overflow(bundle: Bundle) -> bool:
    """Whether the bundle's int8 file computes something else here than where its gate measured it.

    Without VNNI ONNX Runtime adds two products in 16 bits on x86-64. A gate that does not say how many bits the weights
    have is of a release that gave them eight.
    """
    measured = bundle.gate.get("int8")
    bits = measured.get("weight_bits") if isinstance(measured, dict) else None
    return "int8" in bundle.precisions and bits != _SAFE_WEIGHT_BITS and not adds_int8_in_32_bits()


def adds_int8_in_32_bits(cpuinfo: Path = _CPUINFO, machine: str = "") -> bool:
    """Whether this processor adds products of eight bits in 32; False where an x86-64 does not say so."""
    if (machine or platform.machine()).lower() not in {"x86_64", "amd64"}:
        return True
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _WIDE_SUMS.isdisjoint(flags)
