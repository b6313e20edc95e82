"""Tensors of the Open Inference Protocol: their bytes to Python values, checked before they are used."""

import math
import struct

import numpy as np

from encoders.images.pixels import Pixels
from fovea.oip.v2 import open_inference_pb2 as oip
from rpc.errors import InvalidArgument

Tensor = oip.ModelInferRequest.InferInputTensor


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
    """Read a BYTES tensor of shape [N]; raw elements are preceded by their length in 4 bytes, little-endian."""
    if len(tensor.shape) != 1:
        raise InvalidArgument(f"{tensor.name}: BYTES has shape [N], not {list(tensor.shape)}")
    elements = list(tensor.contents.bytes_contents) if raw is None else _unpacked(tensor.name, raw)
    if len(elements) != tensor.shape[0]:
        raise InvalidArgument(f"{tensor.name}: shape says {tensor.shape[0]} elements, there are {len(elements)}")
    return elements


def pixel_elements(tensor: Tensor, raw: bytes | None, size: tuple[int, int]) -> list[Pixels]:
    """Read a UINT8 tensor of shape [N, H, W, 3] whose images already have the model's size (width, height)."""
    width_px, height_px = size
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape[1:] != (height_px, width_px, 3):
        raise InvalidArgument(f"{tensor.name}: UINT8 has shape [N, {height_px}, {width_px}, 3], not {list(shape)}")
    count = math.prod(shape)
    given = len(tensor.contents.uint_contents) if raw is None else len(raw)
    if given != count:
        raise InvalidArgument(f"{tensor.name}: shape says {count} values, there are {given}")
    return list(_uint8(tensor, raw).reshape(shape))


def _uint8(tensor: Tensor, raw: bytes | None) -> Pixels:
    if raw is not None:
        return np.frombuffer(raw, dtype=np.uint8)
    values = np.asarray(tensor.contents.uint_contents, dtype=np.uint32)
    if values.max() > 255:
        raise InvalidArgument(f"{tensor.name}: UINT8 values end at 255")
    return values.astype(np.uint8)


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
