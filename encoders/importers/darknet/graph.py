"""A Darknet network as an ONNX graph: uint8 images in, the boxes and scores of all heads out."""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto, helper

from encoders.importers.darknet.layers import (
    Activation,
    Convolutional,
    Layer,
    MaxPool,
    Network,
    Route,
    Shape,
    Shortcut,
    Upsample,
    Yolo,
)
from encoders.importers.darknet.weights import ConvolutionWeights, Floats
from encoders.importers.nodes import Nodes

_OPSET = 17
_IR_VERSION = 8
_BATCH_NORM_EPSILON = 1e-5
_LEAKY_SLOPE = 0.1
# What the channels of a head are, for each anchor.
_ROW = ("centre", "extent", "objectness", "classes")


def build_graph(network: Network, weights: Mapping[int, ConvolutionWeights]) -> ModelProto:
    """Build the graph with batch normalisation folded into the convolutions.

    Its input is `image` uint8 (N, H, W, 3), its outputs `boxes` float32 (N, K, 4), unclipped corners in normalized
    coordinates of the input, and `scores` float32 (N, K, C), objectness times class.
    """
    nodes = Nodes(_OPSET)
    outputs: list[str] = []
    boxes: list[str] = []
    scores: list[str] = []
    channels_first = nodes.add("Transpose", ["image"], "nchw", perm=[0, 3, 1, 2])
    floats = nodes.add("Cast", [channels_first], "floats", to=TensorProto.FLOAT)
    before = nodes.add("Mul", [floats, nodes.floats("pixel_unit", 1 / 255)], "pixels")
    for layer in network.layers:
        if isinstance(layer, Yolo):
            rows = _rows(nodes, layer, before)
            boxes.append(_boxes(nodes, layer, rows, network.input))
            scores.append(_scores(nodes, layer, rows))
        else:
            before = _layer(nodes, layer, before, outputs, weights)
        outputs.append(before)
    nodes.add("Concat", boxes, "boxes", axis=1)
    nodes.add("Concat", scores, "scores", axis=1)
    return _model(nodes, network)


def _model(nodes: Nodes, network: Network) -> ModelProto:
    image_shape: list[str | int] = ["N", network.input.height, network.input.width, 3]
    graph = helper.make_graph(
        nodes.nodes,
        "fovea_darknet_detector",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, image_shape)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", None, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", None, network.heads[0].classes]),
        ],
        nodes.constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(graph, producer_name="fovea", ir_version=_IR_VERSION, opset_imports=[opset])


def _layer(
    nodes: Nodes, layer: Layer, before: str, outputs: list[str], weights: Mapping[int, ConvolutionWeights]
) -> str:
    """Append one layer's nodes and return the name of its output."""
    match layer:
        case Convolutional():
            return _convolution(nodes, layer, before, weights[layer.number])
        case Shortcut():
            name = before
            for number, source in enumerate(layer.sources):
                name = nodes.add("Add", [name, outputs[source]], f"layer{layer.number}/sum{number}")
            return _activated(nodes, layer.activation, name)
        case Route():
            return _route(nodes, layer, outputs)
        case Upsample():
            scales = nodes.floats(f"layer{layer.number}/scales", [1, 1, layer.stride, layer.stride])
            nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
            return nodes.add("Resize", [before, "", scales], f"layer{layer.number}", **nearest)
        case MaxPool():
            first = layer.padding // 2
            pads = [first, first, layer.padding - first, layer.padding - first]
            window = {"kernel_shape": [layer.size] * 2, "strides": [layer.stride] * 2, "pads": pads}
            return nodes.add("MaxPool", [before], f"layer{layer.number}", **window)
        case _:
            return before


def _convolution(nodes: Nodes, layer: Convolutional, before: str, weights: ConvolutionWeights) -> str:
    kernel, bias = _folded(weights)
    name = f"layer{layer.number}"
    convolved = nodes.add(
        "Conv",
        [before, nodes.constant(f"{name}/kernel", kernel), nodes.constant(f"{name}/bias", bias)],
        f"{name}/convolved",
        kernel_shape=[layer.size] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
        group=layer.groups,
    )
    return _activated(nodes, layer.activation, convolved)


def _folded(weights: ConvolutionWeights) -> tuple[Floats, Floats]:
    """Kernel and bias that do what convolution and batch normalisation did."""
    norm = weights.batch_norm
    if norm is None:
        return weights.kernel, weights.bias
    factor = norm.scale / np.sqrt(norm.variance.astype(np.float64) + _BATCH_NORM_EPSILON)
    kernel = weights.kernel * factor[:, None, None, None]
    bias = weights.bias - norm.mean * factor
    return kernel.astype(np.float32), bias.astype(np.float32)


def _activated(nodes: Nodes, activation: Activation, name: str) -> str:
    if activation == "linear":
        return name
    result = f"{name}/{activation}"
    if activation in {"swish", "mish"}:
        return nodes.add("Mul", [name, _gate(nodes, activation, name, f"{result}/gate")], result)
    if activation == "relu6":
        limits = [nodes.floats(f"{result}/least", 0.0), nodes.floats(f"{result}/most", 6.0)]
        return nodes.add("Clip", [name, *limits], result)
    if activation == "leaky":
        return nodes.add("LeakyRelu", [name], result, alpha=_LEAKY_SLOPE)
    return nodes.add({"relu": "Relu", "logistic": "Sigmoid"}[activation], [name], result)


def _gate(nodes: Nodes, activation: Activation, name: str, result: str) -> str:
    if activation == "swish":
        return nodes.add("Sigmoid", [name], result)
    return nodes.add("Tanh", [nodes.add("Softplus", [name], f"{result}/softplus")], result)


def _route(nodes: Nodes, layer: Route, outputs: list[str]) -> str:
    name = f"layer{layer.number}"
    sources = [outputs[source] for source in layer.sources]
    if layer.groups > 1:
        for number, source in enumerate(sources):
            parts = [f"{name}/source{number}/part{part}" for part in range(layer.groups)]
            nodes.split(source, parts, axis=1)
            sources[number] = parts[layer.group_id]
    return nodes.add("Concat", sources, name, axis=1)


def _rows(nodes: Nodes, layer: Yolo, before: str) -> str:
    """One row for each anchor in each cell: (N, anchors * cells, 5 + classes)."""
    name = f"head{layer.number}"
    anchors, cells, numbers = len(layer.anchors), layer.shape.height * layer.shape.width, 5 + layer.classes
    by_anchor = nodes.integers(f"{name}/by_anchor", [0, anchors, numbers, cells])
    maps = nodes.add("Reshape", [before, by_anchor], f"{name}/maps")
    numbers_last = nodes.add("Transpose", [maps], f"{name}/numbers_last", perm=[0, 1, 3, 2])
    in_rows = nodes.integers(f"{name}/in_rows", [0, anchors * cells, numbers])
    rows = nodes.add("Reshape", [numbers_last, in_rows], f"{name}/rows")
    nodes.split(rows, [f"{rows}/{part}" for part in _ROW], axis=2, lengths=[2, 2, 1, layer.classes])
    return rows


def _scores(nodes: Nodes, layer: Yolo, rows: str) -> str:
    """Objectness times class, each a sigmoid of its own: (N, anchors * cells, classes)."""
    name = f"head{layer.number}"
    objectness = nodes.add("Sigmoid", [f"{rows}/objectness"], f"{name}/objectness")
    classes = nodes.add("Sigmoid", [f"{rows}/classes"], f"{name}/classes")
    return nodes.add("Mul", [objectness, classes], f"{name}/scores")


def _boxes(nodes: Nodes, layer: Yolo, rows: str, image: Shape) -> str:
    """Corners (N, anchors * cells, 4); the stretch of the sigmoid and the cell become one multiply and add."""
    name = f"head{layer.number}"
    grid = np.array([layer.shape.width, layer.shape.height], np.float32)
    stretch = nodes.constant(f"{name}/stretch", (layer.scale_x_y / grid).astype(np.float32))
    corner = nodes.constant(f"{name}/corner", _cell_corners(layer) / grid)
    sigmoid = nodes.add("Sigmoid", [f"{rows}/centre"], f"{name}/sigmoid")
    inside = nodes.add("Mul", [sigmoid, stretch], f"{name}/inside")
    middle = nodes.add("Add", [inside, corner], f"{name}/middle")
    half_anchors = nodes.constant(f"{name}/half_anchors", _half_anchors(layer, image))
    growth = nodes.add("Exp", [f"{rows}/extent"], f"{name}/growth")
    half = nodes.add("Mul", [growth, half_anchors], f"{name}/half")
    least = nodes.add("Sub", [middle, half], f"{name}/least")
    most = nodes.add("Add", [middle, half], f"{name}/most")
    return nodes.add("Concat", [least, most], f"{name}/boxes", axis=2)


def _cell_corners(layer: Yolo) -> Floats:
    """Where the stretched sigmoid starts, in cells: (1, anchors * cells, 2) as x, y."""
    y, x = np.mgrid[: layer.shape.height, : layer.shape.width]
    cells = np.stack([x, y], axis=-1).reshape(-1, 2) - (layer.scale_x_y - 1) / 2
    return np.tile(cells, (len(layer.anchors), 1)).astype(np.float32)[None]


def _half_anchors(layer: Yolo, image: Shape) -> Floats:
    """Half of each anchor in normalized coordinates: (1, anchors * cells, 2)."""
    halves = np.array(layer.anchors) / [image.width, image.height] / 2
    return np.repeat(halves, layer.shape.height * layer.shape.width, axis=0).astype(np.float32)[None]
