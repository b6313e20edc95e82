"""ONNX nodes and constants under construction: what the importers build their graphs from."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Reduction = Literal["ReduceMean", "ReduceMax", "ReduceSum"]


class Nodes:
    """A growing list of nodes, each named after the tensor that it makes."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node with one output and return the name of the output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def split(self, name: str, outputs: Sequence[str], *, axis: int, lengths: Sequence[int] | None = None) -> None:
        """Cut a tensor into `outputs`, of equal or of the given lengths (opset 13 and later)."""
        inputs = [name] if lengths is None else [name, self.integers(f"{outputs[0]}/lengths", lengths)]
        self.nodes.append(helper.make_node("Split", inputs, outputs, name=f"{outputs[0]}/split", axis=axis))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Append a constant tensor and return its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def floats(self, name: str, values: Sequence[float] | float, *, axis: int | None = None) -> str:
        """A float32 constant: a scalar, or with `axis` a list along that axis of a 4-dimensional tensor."""
        array = np.asarray(values, np.float32)
        return self.constant(name, array if axis is None else array.reshape([-1 if i == axis else 1 for i in range(4)]))

    def integers(self, name: str, values: Sequence[int]) -> str:
        """An int64 constant: a shape, axes or indices."""
        return self.constant(name, np.array(values, np.int64))

    def scalar(self, name: str, value: int) -> str:
        """An int64 constant without axes."""
        return self.constant(name, np.array(value, np.int64))

    def unsqueeze(self, name: str, output: str, *, axis: int) -> str:
        """Add an axis of length 1; ONNX made the axes an input in opset 13."""
        if self.opset < 13:
            return self.add("Unsqueeze", [name], output, axes=[axis])
        return self.add("Unsqueeze", [name, self.integers(f"{output}_axes", [axis])], output)

    def reduce(self, operator: Reduction, name: str, output: str, *, axes: Sequence[int], keepdims: int) -> str:
        """Reduce over axes, which vanish or, with `keepdims` 1, stay with length 1."""
        # ONNX made the axes an input: of ReduceSum in opset 13, of the others in opset 18.
        if self.opset < (13 if operator == "ReduceSum" else 18):
            return self.add(operator, [name], output, axes=list(axes), keepdims=keepdims)
        return self.add(operator, [name, self.integers(f"{output}_axes", axes)], output, keepdims=keepdims)
