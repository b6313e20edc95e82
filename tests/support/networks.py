"""Tiny ONNX networks as people bring them, and what they must give, computed with numpy alone."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from encoders.importers.onnx.spec import ImageSpec

Ending = Literal["flatten", "reshape", "reshape with -1", "stubborn", "mixing"]

SIZE = (12, 8)
DIMENSION = 5
_CELLS = (3, 2)
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def tiny_network(
    path: Path, spec: ImageSpec, *, batch: int | str = "N", ending: Ending = "flatten", extra_output: bool = False
) -> Path:
    """Write a network that averages 4 x 4 pixels and projects them; `ending` is how it comes to (N, DIMENSION)."""
    width_px, height_px = spec.size
    channels = spec.channels
    shape = [batch, channels, height_px, width_px] if spec.layout == "NCHW" else [batch, height_px, width_px, channels]
    nodes = [helper.make_node("Cast", ["pixels_in"], ["floats"], to=TensorProto.FLOAT)]
    turn = [0, 1, 2, 3] if spec.layout == "NCHW" else [0, 3, 1, 2]
    nodes.append(helper.make_node("Transpose", ["floats"], ["nchw"], perm=turn))
    nodes.append(helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]))
    length = channels * _CELLS[0] * _CELLS[1]
    constants = [numpy_helper.from_array(projection(spec), "projection")]
    targets = {"reshape": [batch, length], "reshape with -1": [batch, -1], "stubborn": [1, 1, length]}
    if ending in targets:
        constants.append(numpy_helper.from_array(np.array(targets[ending], np.int64), "target"))
        nodes.append(helper.make_node("Reshape", ["pooled", "target"], ["flat"]))
    elif ending == "mixing":
        nodes.append(helper.make_node("Flatten", ["pooled"], ["alone"]))
        nodes.append(helper.make_node("ReduceMean", ["alone"], ["mean"], axes=[0], keepdims=1))
        nodes.append(helper.make_node("Add", ["alone", "mean"], ["flat"]))
    else:
        nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    if ending == "stubborn":
        constants.append(numpy_helper.from_array(np.array([length], np.int64), "vector"))
        nodes[-1] = helper.make_node("Reshape", ["pooled", "vector"], ["flat"])
    nodes.append(helper.make_node("MatMul", ["flat", "projection"], ["vector_out"]))
    outputs = [helper.make_tensor_value_info("vector_out", TensorProto.FLOAT, None)]
    if extra_output:
        constants.append(numpy_helper.from_array(np.ones((DIMENSION, 1000), np.float32), "classifier"))
        nodes.append(helper.make_node("MatMul", ["vector_out", "classifier"], ["logits"]))
        outputs.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, None))
    image = helper.make_tensor_value_info("pixels_in", _TYPES[spec.dtype], shape)
    graph = helper.make_graph(nodes, "tiny", [image], outputs, constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(model, path)
    return path


def projection(spec: ImageSpec) -> NDArray[np.float32]:
    """The network's only weights."""
    length = spec.channels * _CELLS[0] * _CELLS[1]
    return np.random.default_rng(7).standard_normal((length, DIMENSION)).astype(np.float32)


def expected_embedding(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float64]:
    """What the network must give for one image (H, W, 3) that was prepared as the spec says: (DIMENSION,)."""
    channels = pixels
    if spec.color == "BGR":
        channels = pixels[..., ::-1]
    if spec.color == "GRAY":
        channels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    prepared = (channels * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    height, width = _CELLS[1], _CELLS[0]
    pooled = prepared.reshape(height, 4, width, 4, spec.channels).mean(axis=(1, 3)).transpose(2, 0, 1)
    embedding = pooled.ravel() @ projection(spec)
    unit: NDArray[np.float64] = embedding / np.linalg.norm(embedding)
    return unit
