"""Graphs with a fixed batch: the number of pictures made open, where the graph allows it."""

from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper


def open_batch(model: ModelProto, batch: int) -> ModelProto:
    """A copy whose constant `Reshape` targets no longer fix the batch; whether it then computes the same must be tried.

    A target (batch, ...) becomes (0, ...), the size that comes in, or (-1, ...) where the rest is known.
    """
    opened = ModelProto()
    opened.CopyFrom(model)
    graph = opened.graph
    constants = {tensor.name: tensor for tensor in _constants(graph)}
    for node in graph.node:
        target = constants.get(node.input[1]) if node.op_type == "Reshape" and len(node.input) == 2 else None
        if target is not None:
            shape = _opened(numpy_helper.to_array(target), batch)
            # The shape may be shared with another reshape: that one gets the same treatment anyway.
            target.CopyFrom(numpy_helper.from_array(shape, target.name))
    del graph.value_info[:]  # the shapes noted there still name the old batch
    return opened


def _opened(shape: np.ndarray, batch: int) -> np.ndarray:
    if shape.size == 0 or shape[0] != batch:
        return shape
    opened = shape.copy()
    opened[0] = 0 if -1 in shape[1:] else -1
    return opened


def _constants(graph: GraphProto) -> Iterable[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            yield tensor
