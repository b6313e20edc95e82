"""Tensors of the Open Inference Protocol: their bytes to Python values, checked before they are used."""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.images.pixels import Pixels
from fovea.oip.v2 import open_inference_pb2 as oip
from rpc.errors import InvalidArgument

Tensor = oip.ModelInferRequest.InferInputTensor

PIXEL_TYPES = frozenset({"UINT8", "FP32"})


def only_input(request: oip.ModelInferRequest) -> tuple[Tensor, bytes | None]:
    """The request's one tensor and its raw contents, where it has them."""
    if len(request.inputs) != 1:
        raise InvalidArgument(f"inputs: send one tensor, not {len(request.inputs)}")
    tensor = request.inputs[0]
    if not request.raw_input_contents:
        return tensor, None
    if len(request.raw_input_contents) != 1 or tensor.HasField("contents"):
        raise InvalidArgument("raw_input_contents: must have one entry for each input, and then no input has contents")
    return tensor, request.raw_input_contents[0]


def byte_elements(tensor: Tensor, raw: bytes | None) -> list[bytes]:
    """Read a BYTES tensor of shape [N] or [N, 1]; raw elements are preceded by their length in 4 bytes, little-endian."""
    if len(tensor.shape) != 1 and tuple(tensor.shape[1:]) != (1,):
        raise InvalidArgument(f"{tensor.name}: BYTES has shape [N] or [N, 1], not {list(tensor.shape)}")
    elements = list(tensor.contents.bytes_contents) if raw is None else _unpacked(tensor.name, raw)
    if len(elements) != tensor.shape[0]:
        raise InvalidArgument(f"{tensor.name}: shape says {tensor.shape[0]} elements, there are {len(elements)}")
    return elements


def pixel_elements(tensor: Tensor, raw: bytes | None, size: tuple[int, int]) -> list[Pixels]:
    """Read a UINT8 or FP32 tensor of shape [N, H, W, 3], 0..255, whose images already have the model's size (width, height)."""
    width_px, height_px = size
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape[1:] != (height_px, width_px, 3):
        message = f"{tensor.name}: {tensor.datatype} has shape [N, {height_px}, {width_px}, 3], not {list(shape)}"
        raise InvalidArgument(message)
    count = math.prod(shape)
    values = _values(tensor, raw)
    if values.size != count:
        raise InvalidArgument(f"{tensor.name}: shape says {count} values, there are {values.size}")
    return list(_uint8(tensor.name, values).reshape(shape))


def _values(tensor: Tensor, raw: bytes | None) -> NDArray[Any]:
    if raw is None:
        contents = tensor.contents
        return np.asarray(contents.uint_contents if tensor.datatype == "UINT8" else contents.fp32_contents)
    dtype = np.dtype(np.uint8 if tensor.datatype == "UINT8" else "<f4")
    if len(raw) % dtype.itemsize:
        raise InvalidArgument(f"{tensor.name}: the raw contents end inside a value")
    return np.frombuffer(raw, dtype)


def _uint8(name: str, values: NDArray[Any]) -> Pixels:
    if values.dtype == np.uint8:
        return values
    if not (np.min(values) >= 0 and np.max(values) <= 255):  # NaN fails the comparison
        raise InvalidArgument(f"{name}: pixels are 0 to 255")
    pixels: Pixels = np.rint(values).astype(np.uint8)
    return pixels


def _unpacked(name: str, raw: bytes) -> list[bytes]:
    elements: list[bytes] = []
    start = 0
    while start < len(raw):
        if start + 4 > len(raw):
            raise InvalidArgument(f"{name}: the raw contents end inside a length")
        (length,) = struct.unpack_from("<I", raw, start)
        start += 4
        if start + length > len(raw):
            raise InvalidArgument(f"{name}: the raw contents end inside an element")
        elements.append(raw[start : start + length])
        start += length
    return elements
