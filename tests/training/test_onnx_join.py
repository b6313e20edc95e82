"""Graphs joined in one file."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from training.onnx_join import Part, join


def graph(operator: str, inputs: list[str], opset: int = 17) -> ModelProto:
    """One node of two inputs, with the output `result`."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in inputs]
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, ["N", 2])
    made = helper.make_graph([helper.make_node(operator, inputs, ["result"])], "part", values, [result])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])


X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])


def test_outputs_become_inputs(tmp_path: Path) -> None:
    """Parts with the same names inside do not disturb one another, and an older opset is brought up."""
    parts = [
        Part("square", graph("Mul", ["a", "b"], opset=13), {"a": "x", "b": "x"}),
        Part("sum", graph("Add", ["a", "b"]), {"a": "square/result", "b": "x"}),
    ]
    join(parts, [X], {"y": ("sum/result", 2)}, tmp_path / "joined.onnx")

    (y,) = onnxruntime.InferenceSession(tmp_path / "joined.onnx").run(["y"], {"x": np.array([[2, 3]], np.float32)})

    assert y.tolist() == [[6, 12]]


def test_an_input_without_a_source_is_refused(tmp_path: Path) -> None:
    """A forgotten connection is named."""
    with pytest.raises(ValueError, match=r"sum reads nothing for \['sum/b'\]"):
        join([Part("sum", graph("Add", ["a", "b"]), {"a": "x"})], [X], {"y": ("sum/result", 2)}, tmp_path / "y.onnx")
