"""The nodes around a network: from uint8 images to its input, from its output to an embedding of unit length."""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from encoders.importers.nodes import Nodes, Reduction
from encoders.importers.onnx.frame import NETWORK, floats_of, frame, normalise
from encoders.importers.onnx.graphs import opset_of
from encoders.importers.onnx.spec import ImageSpec, Pooling

ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
REDUCTIONS: Mapping[Pooling, Reduction] = {"mean": "ReduceMean", "max": "ReduceMax"}
# The network's output before it is pooled, in float32.
OUTPUT_FLOATS = "fovea/output_floats"
# Pillow's weights of red, green and blue in 65536ths: grey pixels come out equal to the last bit.
_GREY_WEIGHTS = (19595.0, 38470.0, 7471.0)


def surround(
    model: ModelProto, spec: ImageSpec, *, source: str, output: str, batch: int | None, rank: int
) -> ModelProto:
    """Put the preprocessing before the tensor `source` of the model and the unit length after its tensor `output` of `rank` axes.

    The result's input is `image` uint8 (N, H, W, 3), its output `embedding` float32 (N, D); `batch` None leaves N open.
    """
    before, after = Nodes(opset_of(model)), Nodes(opset_of(model))
    prepare(before, spec, source)
    floats = floats_of(after, output, OUTPUT_FLOATS)
    normalise(after, _pooled(after, floats, spec, rank), batch)
    return frame(
        model,
        before,
        after,
        name="fovea_image_encoder",
        inputs=[image_value(spec, batch)],
        outputs=[helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch or "N", "D"])],
    )


def image_value(spec: ImageSpec, batch: int | None) -> ValueInfoProto:
    """The input `image` uint8 (N, H, W, 3)."""
    width_px, height_px = spec.size
    return helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "N", height_px, width_px, 3])


def prepare(nodes: Nodes, spec: ImageSpec, source: str) -> None:
    """From `image` to the network's input `source`, NCHW or NHWC."""
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
    nodes.add("Cast", [name], NETWORK + source, to=ELEMENT_TYPES[spec.dtype])


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
    if spec.skip_tokens:
        bounds = {"from": spec.skip_tokens, "to": np.iinfo(np.int64).max, "axis": 1}
        inputs = [nodes.integers(f"fovea/tokens_{bound}", [value]) for bound, value in bounds.items()]
        floats = nodes.add("Slice", [floats, *inputs], "fovea/image_tokens")
    over_space = (2, 3) if spec.layout == "NCHW" else (1, 2)
    axes = (1,) if rank == 3 else over_space
    return nodes.reduce(REDUCTIONS[spec.pooling], floats, "fovea/pooled", axes=axes, keepdims=0)
