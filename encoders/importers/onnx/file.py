"""ONNX files from untrusted sources: parsed, checked, self-contained, and nothing read outside their own folder."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, external_data_helper

from encoders.errors import BundleError, first_line
from encoders.importers.model_file import MAX_MODEL_BYTES, read_model_file
from encoders.importers.onnx.graphs import graphs_of, opset_of

# `com.microsoft` is built into ONNX Runtime (its own quantizer writes it); every other domain needs a foreign library.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_OLDEST_OPSET = 7


def read_onnx(path: Path) -> ModelProto:
    """Read a model and the weights that are kept beside it in its own folder.

    Raises `BundleError` for a file that is not an ONNX model, needs other files or foreign operators, or is too old.
    """
    model = _parse(path, read_model_file(path))
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"{path}: its functions cannot be inlined: {first_line(error)}") from error
    _check_operators(path, model)
    _take_in_weights(path, model)
    return model


def _parse(path: Path, data: bytes) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise BundleError(f"{path} is not an ONNX model, or it is cut short ({len(data):,} bytes).") from error
    if not model.graph.node or not model.ir_version:
        raise BundleError(f"{path} is not an ONNX model: no network was found in its {len(data):,} bytes.")
    return model


def _check_operators(path: Path, model: ModelProto) -> None:
    if opset_of(model) < _OLDEST_OPSET:
        raise BundleError(f"{path} uses opset {opset_of(model)}: export it again with opset 13 or later.")
    for graph in graphs_of(model.graph):
        for node in graph.node:
            if node.domain not in _DOMAINS:
                raise BundleError(
                    f"{path} needs the custom operator {node.domain}.{node.op_type}, which cannot be run."
                )


def _take_in_weights(path: Path, model: ModelProto) -> None:
    folder = path.resolve().parent
    outside = [tensor for tensor in _tensors(model.graph) if external_data_helper.uses_external_data(tensor)]
    files = {_file_of(path, folder, tensor) for tensor in outside}
    if path.stat().st_size + sum(file.stat().st_size for file in files) > MAX_MODEL_BYTES:
        raise BundleError(f"{path} and its weights are larger than {MAX_MODEL_BYTES // 2**20} MiB.")
    for tensor in outside:
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except (ValueError, OSError, onnx.checker.ValidationError) as error:
            raise BundleError(f"{path}: the weights of {tensor.name!r} cannot be read: {first_line(error)}") from error


def _file_of(path: Path, folder: Path, tensor: TensorProto) -> Path:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    file = folder / location.replace("\0", "")
    if not location or "\0" in location or not file.resolve().is_relative_to(folder):
        raise BundleError(f"{path} wants weights from {location!r}, outside its own folder; that is not allowed.")
    if not file.is_file():
        raise BundleError(f"{path} keeps its weights in {location!r}, which is missing: put that file beside it.")
    return file


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    for nested in graphs_of(graph):
        yield from nested.initializer
        for sparse in nested.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for attribute in (attribute for node in nested.node for attribute in node.attribute):
            yield from attribute.tensors
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
