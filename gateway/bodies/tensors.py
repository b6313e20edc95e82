"""Inference requests of the Open Inference Protocol over HTTP: JSON, and tensors in binary behind it."""

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.oip.v2 import open_inference_pb2 as oip
from gateway.bodies.json_body import parse_json
from rpc.errors import InvalidArgument

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY_TYPE = "application/octet-stream"

# Numbers in JSON take a hundred times as long to parse as bytes behind it.
_MAX_VALUES = 1_000_000
_DTYPES: Mapping[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP32": np.dtype("<f4")}
_OF_THE_BODY = frozenset({"binary_data_size", "binary_data_output", "binary_data", "content_type"})


@dataclass(frozen=True, slots=True)
class Inference:
    """A request, and which outputs are wanted in binary: those that are named, and by default all others or none."""

    request: oip.ModelInferRequest
    is_binary: Mapping[str, bool]
    is_binary_by_default: bool


def read_inference(body: bytes, header_length: str | None, model: str, version: str) -> Inference:
    """The request in a body whose first `header_length` bytes are JSON, or all of them; raises InvalidArgument."""
    json_bytes = len(body) if header_length is None else _length(header_length, len(body))
    fields = parse_json(body[:json_bytes], max_values=_MAX_VALUES)
    if not isinstance(fields, dict):
        raise InvalidArgument("the body must be a JSON object with inputs")
    request = oip.ModelInferRequest(model_name=model, model_version=version, id=_text(fields, "id", "the body"))
    _set_parameters(request.parameters, fields, "the body")
    binary = memoryview(body)[json_bytes:]
    for tensor in _objects(fields, "inputs"):
        binary = _add_input(request, tensor, binary)
    if binary:
        raise InvalidArgument(f"{len(binary):,} bytes behind the JSON belong to no input; see binary_data_size")
    is_binary = {}
    for output in _objects(fields, "outputs"):
        name = _text(output, "name", "outputs")
        _set_parameters(request.outputs.add(name=name).parameters, output, name)
        if "binary_data" in _parameters(output, name):
            is_binary[name] = bool(_parameters(output, name)["binary_data"])
    return Inference(request, is_binary, bool(_parameters(fields, "the body").get("binary_data_output")))


def write_inference(response: oip.ModelInferResponse, asked: Inference) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where tensors in binary follow it."""
    outputs, behind = [], []
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if asked.is_binary.get(tensor.name, asked.is_binary_by_default):
            output["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            output["data"] = _values(tensor.datatype, raw)
        outputs.append(output)
    answer = {"model_name": response.model_name, "model_version": response.model_version, "outputs": outputs}
    head = json.dumps(answer | ({"id": response.id} if response.id else {})).encode()
    return head + b"".join(behind), len(head) if behind else None


def _length(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:20]) > most:
        raise InvalidArgument(f"{HEADER_LENGTH}: must be the number of bytes of JSON at the start of the body")
    return int(text)


def _add_input(request: oip.ModelInferRequest, fields: Mapping[str, Any], binary: memoryview) -> memoryview:
    """Adds one input to the request; what is left of the bytes behind the JSON."""
    name, datatype = _text(fields, "name", "inputs"), _text(fields, "datatype", "inputs")
    shape = fields.get("shape")
    if not isinstance(shape, list) or not all(type(each) is int and 0 <= each < 2**31 for each in shape):
        raise InvalidArgument(f"{name}: shape must be a list of whole numbers")
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    _set_parameters(tensor.parameters, fields, name)
    parameters = _parameters(fields, name)
    size = parameters.get("binary_data_size")
    if size is None:
        encoded = parameters.get("content_type") == "base64"
        request.raw_input_contents.append(_packed(name, datatype, fields.get("data"), is_base64=encoded))
        return binary
    if type(size) is not int or not 0 <= size <= len(binary):
        raise InvalidArgument(f"{name}: binary_data_size must be the number of its bytes behind the JSON")
    request.raw_input_contents.append(bytes(binary[:size]))
    return binary[size:]


def _packed(name: str, datatype: str, data: Any, *, is_base64: bool) -> bytes:
    values = list(_flat(data)) if isinstance(data, list) else None
    if values is None:
        raise InvalidArgument(f"{name}: has neither data nor binary_data_size")
    if datatype == "BYTES":
        elements = [_element(name, value, is_base64=is_base64) for value in values]
        return b"".join(struct.pack("<I", len(element)) + element for element in elements)
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise InvalidArgument(f"{name}: its datatype is not {datatype[:20]!r}; see the model's metadata")
    if not all(type(value) in (int, float) and 0 <= value <= 255 for value in values):
        raise InvalidArgument(f"{name}: pixels are 0 to 255")
    packed: bytes = np.asarray(values, dtype).tobytes()
    return packed


def _element(name: str, value: Any, *, is_base64: bool) -> bytes:
    if not isinstance(value, str):
        raise InvalidArgument(f"{name}: elements of BYTES are texts")
    try:
        return base64.b64decode(value, validate=True) if is_base64 else value.encode()
    except binascii.Error as error:
        raise InvalidArgument(f"{name}: an element is not base64") from error


def _flat(data: list[Any]) -> Iterator[Any]:
    for each in data:
        if isinstance(each, list):
            yield from _flat(each)
        else:
            yield each


def _values(datatype: str, raw: bytes) -> list[Any]:
    if datatype == "FP32":
        values: list[Any] = np.frombuffer(raw, "<f4").tolist()
        return values
    texts, start = [], 0
    while start < len(raw):
        (length,) = struct.unpack_from("<I", raw, start)
        texts.append(raw[start + 4 : start + 4 + length].decode(errors="replace"))
        start += 4 + length
    return texts


def _set_parameters(target: Any, fields: Mapping[str, Any], where: str) -> None:
    for name, value in _parameters(fields, where).items():
        if name in _OF_THE_BODY:
            continue
        kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
        kind = kinds.get(type(value))
        if kind is None or (type(value) is int and not math.log2(abs(value) + 1) < 63):
            raise InvalidArgument(f"{where}: parameters[{name[:40]}] must be a text, a number, true or false")
        setattr(target[name], kind, value)


def _parameters(fields: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = fields.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidArgument(f"{where}: parameters must be an object")
    return parameters


def _objects(fields: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    objects = fields.get(name)
    if objects is None:
        return ()
    if not isinstance(objects, list) or not all(isinstance(each, dict) for each in objects):
        raise InvalidArgument(f"{name}: must be a list of objects")
    return objects


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"{where}: {name} must be a text")
    return value
