"""ONNX nodes and constants in the making: what the importers build their graphs from."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper


class Nodes:
    """A growing list of nodes, each named after the tensor that it makes."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node with one output and give back the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def split(self, name: str, outputs: Sequence[str], *, axis: int, lengths: Sequence[int] | None = None) -> None:
        """Cut a tensor into `outputs`, of equal or of the given lengths (opset 13 and later)."""
        inputs = [name] if lengths is None else [name, self.integers(f"{outputs[0]}/lengths", lengths)]
        self.nodes.append(helper.make_node("Split", inputs, outputs, name=f"{outputs[0]}/split", axis=axis))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Append a constant tensor and give back its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def floats(self, name: str, values: Sequence[float] | float, *, axis: int | None = None) -> str:
        """A float32 constant: a scalar, or with `axis` a list along that axis of a 4-dimensional tensor."""
        array = np.asarray(values, np.float32)
        return self.constant(name, array if axis is None else array.reshape([-1 if i == axis else 1 for i in range(4)]))

    def integers(self, name: str, values: Sequence[int]) -> str:
        """An int64 constant: a shape, axes or indices."""
        return self.constant(name, np.array(values, np.int64))

    def reduce(
        self, operator: Literal["ReduceMean", "ReduceMax"], name: str, output: str, *, axes: Sequence[int]
    ) -> str:
        """Reduce over axes, which vanish."""
        if self.opset < 18:
            return self.add(operator, [name], output, axes=list(axes), keepdims=0)
        return self.add(operator, [name, self.integers(f"{output}_axes", axes)], output, keepdims=0)

    def sum(self, name: str, output: str, *, axis: int) -> str:
        """Sum along one axis, which stays as an axis of length 1."""
        if self.opset < 13:
            return self.add("ReduceSum", [name], output, axes=[axis], keepdims=1)
        return self.add("ReduceSum", [name, self.integers(f"{output}_axes", [axis])], output, keepdims=1)
