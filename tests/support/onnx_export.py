"""Runs a torch computation through ONNX Runtime, with other batch sizes and lengths than it was exported with."""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class _Graph(nn.Module):
    def __init__(self, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.compute = compute
        # Makes the weights of a method's network the graph's own; the exporter takes no others.
        self.network = getattr(compute, "__self__", None)

    def forward(self, *inputs: Tensor) -> Any:
        return self.compute(*inputs)


def run_as_onnx(
    compute: Callable[..., Any],
    example: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    *,
    dynamic_axes: tuple[int, ...] = (0,),
) -> list[NDArray[np.float32]]:
    """Export `compute` with the example's tensors, run it on `inputs`; axes in `dynamic_axes` may differ in size."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        model = Path(folder) / "model.onnx"
        torch.onnx.export(
            _Graph(compute).eval(),
            tuple(example.values()),
            model,
            dynamo=False,
            opset_version=17,
            input_names=list(example),
            dynamic_axes={
                name: {axis: f"{name}_{axis}" for axis in dynamic_axes if axis < tensor.ndim}
                for name, tensor in example.items()
            },
        )
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return outputs
