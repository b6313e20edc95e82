"""The nodes around a network: from uint8 images to its input, from its output to an embedding of unit length."""

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper

from encoders.importers.nodes import Nodes, Reduction
from encoders.importers.onnx.graphs import graphs_of, opset_of
from encoders.importers.onnx.spec import ImageSpec, Pooling

ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
REDUCTIONS: Mapping[Pooling, Reduction] = {"mean": "ReduceMean", "max": "ReduceMax"}
# The network's output before it is pooled, in float32.
OUTPUT_FLOATS = "fovea/output_floats"
# Pillow's weights of red, green and blue in 65536ths: grey pixels come out equal to the last bit.
_GREY_WEIGHTS = (19595.0, 38470.0, 7471.0)
# Added to the squared length: too little to change any embedding in float32, enough to leave zeros zero.
_TINY_SQUARE = 1e-24


def surround(
    model: ModelProto, spec: ImageSpec, *, source: str, output: str, batch: int | None, rank: int
) -> ModelProto:
    """Put the preprocessing before the tensor `source` of the model and the unit length after its tensor `output` of `rank` axes.

    The result's input is `image` uint8 (N, H, W, 3), its output `embedding` float32 (N, D); `batch` None leaves N open.
    """
    network = GraphProto()
    network.CopyFrom(model.graph)
    _prefix_tensors(network, "network/")
    before, after = Nodes(opset_of(model)), Nodes(opset_of(model))
    _prepare(before, spec, f"network/{source}")
    floats = after.add("Cast", [f"network/{output}"], OUTPUT_FLOATS, to=TensorProto.FLOAT)
    _normalise(after, _pooled(after, floats, spec, rank), batch)
    images = "N" if batch is None else batch
    width_px, height_px = spec.size
    graph = helper.make_graph(
        [*before.nodes, *network.node, *after.nodes],
        "fovea_image_encoder",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [images, height_px, width_px, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [images, "D"])],
        [*before.constants, *network.initializer, *after.constants],
        sparse_initializer=network.sparse_initializer,
    )
    return helper.make_model(
        graph, producer_name="fovea", ir_version=_ir_version(model), opset_imports=model.opset_import
    )


def _ir_version(model: ModelProto) -> int:
    """The oldest file format that holds the operators: exporters often write a newer one than ONNX Runtime reads."""
    standard = [entry for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    try:
        needed = helper.find_min_ir_version_for(standard)
    except ValueError:  # operators that this version of onnx does not know
        needed = model.ir_version
    # From IR 4 on, initializers need not be inputs of the graph.
    return max(4, min(model.ir_version, needed))


def _prepare(nodes: Nodes, spec: ImageSpec, result: str) -> None:
    """From `image` to the network's input `result`, NCHW or NHWC."""
    name, channel_axis = "image", 3
    if spec.layout == "NCHW":
        # Images are transposed while they are bytes: a quarter of the memory traffic of floats.
        name, channel_axis = nodes.add("Transpose", [name], "fovea/nchw", perm=[0, 3, 1, 2]), 1
    if spec.color == "BGR":
        blue_first = nodes.integers("fovea/blue_first", [2, 1, 0])
        name = nodes.add("Gather", [name, blue_first], "fovea/bgr", axis=channel_axis)
    if spec.color == "GRAY" or spec.changes_pixels or spec.dtype != "uint8":
        name = nodes.add("Cast", [name], "fovea/floats", to=TensorProto.FLOAT)
    if spec.color == "GRAY":
        name = _grey(nodes, name, channel_axis)
    if spec.changes_pixels:
        name = nodes.add(
            "Mul", [name, nodes.floats("fovea/multiplier", spec.multiplier, axis=channel_axis)], "fovea/scaled"
        )
        name = nodes.add("Add", [name, nodes.floats("fovea/offset", spec.offset, axis=channel_axis)], "fovea/shifted")
        if spec.dtype == "uint8":
            raised = nodes.add("Add", [name, nodes.floats("fovea/half", 0.5)], "fovea/raised")
            name = nodes.add("Floor", [raised], "fovea/rounded")
    nodes.add("Cast", [name], result, to=ELEMENT_TYPES[spec.dtype])


def _grey(nodes: Nodes, rgb: str, channel_axis: int) -> str:
    weights = nodes.floats("fovea/grey_weights", _GREY_WEIGHTS, axis=channel_axis)
    weighted = nodes.add("Mul", [rgb, weights], "fovea/weighted")
    total = nodes.reduce("ReduceSum", weighted, "fovea/grey_sum", axes=[channel_axis], keepdims=1)
    raised = nodes.add("Add", [total, nodes.floats("fovea/grey_half", 0x8000)], "fovea/grey_raised")
    levels = nodes.add("Div", [raised, nodes.floats("fovea/grey_unit", 0x10000)], "fovea/grey_shares")
    return nodes.add("Floor", [levels], "fovea/grey")


def _pooled(nodes: Nodes, floats: str, spec: ImageSpec, rank: int) -> str:
    """Append what the spec's `pooling` does to a float32 tensor of this rank; without `pooling` nothing."""
    if spec.pooling is None:
        return floats
    if spec.pooling == "cls":
        first = nodes.constant("fovea/first_token", np.array(0, np.int64))
        return nodes.add("Gather", [floats, first], "fovea/pooled", axis=1)
    over_space = (2, 3) if spec.layout == "NCHW" else (1, 2)
    axes = (1,) if rank == 3 else over_space
    return nodes.reduce(REDUCTIONS[spec.pooling], floats, "fovea/pooled", axes=axes, keepdims=0)


def _normalise(nodes: Nodes, floats: str, batch: int | None) -> None:
    """From one embedding an image, of any shape, to `embedding`."""
    if batch is None:
        flat = nodes.add("Flatten", [floats], "fovea/flat", axis=1)
    else:
        flat = nodes.add("Reshape", [floats, nodes.integers("fovea/flat_shape", [batch, -1])], "fovea/flat")
    squares = nodes.add("Mul", [flat, flat], "fovea/squares")
    squared_length = nodes.reduce("ReduceSum", squares, "fovea/sum", axes=[1], keepdims=1)
    safe = nodes.add("Add", [squared_length, nodes.floats("fovea/tiny", _TINY_SQUARE)], "fovea/safe")
    nodes.add("Div", [flat, nodes.add("Sqrt", [safe], "fovea/length")], "embedding")


def _prefix_tensors(graph: GraphProto, prefix: str) -> None:
    """Rename every tensor, nested graphs included, so that no name is equal to one of ours."""
    for nested in graphs_of(graph):
        del nested.value_info[:]
        for node in nested.node:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    names[position] = prefix + name if name else name
        for value in (*nested.input, *nested.output):
            value.name = prefix + value.name
        for tensor in (*nested.initializer, *(sparse.values for sparse in nested.sparse_initializer)):
            tensor.name = prefix + tensor.name
