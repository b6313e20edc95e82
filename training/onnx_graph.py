"""Owns the way from a torch network to an ONNX file, and the answers that both give to the same inputs."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

OPSET = 17
BATCH = 25

Inputs = Mapping[str, NDArray[Any]]
Outputs = Sequence[NDArray[np.float32]]
"""What a network says of N inputs: an array (N, …) for each of its outputs, in their order."""


def write_onnx(network: nn.Module, inputs: Inputs, outputs: Sequence[str], path: Path) -> None:
    """Export with a free number of inputs and of tokens; the weights lie inside the one file.

    `inputs` are a few examples, by the names and in the order of `forward`'s arguments.
    """
    with warnings.catch_warnings(action="ignore"):
        # The tracing exporter: the networks have no control flow, and the other one needs more packages.
        torch.onnx.export(
            network.eval(),
            tuple(torch.from_numpy(values) for values in inputs.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "N", **({1: "T"} if name == "tokens" else {})} for name in (*inputs, *outputs)},
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def torch_outputs(network: nn.Module, inputs: Inputs) -> Outputs:
    """What the network says of the inputs, in torch, on whichever device it is."""
    parts, device = [], next(network.parameters()).device
    with torch.inference_mode():
        for batch in batches(inputs):
            answer = network(*(torch.from_numpy(values).to(device) for values in batch.values()))
            parts.append([output.cpu().numpy() for output in (answer if isinstance(answer, tuple) else (answer,))])
    return _joined(parts)


def onnx_outputs(path: Path, inputs: Inputs, outputs: Sequence[str]) -> Outputs:
    """What the file says of the inputs, in ONNX Runtime on the CPU, with as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return _joined([session.run(list(outputs), batch) for batch in batches(inputs)])


def batches(inputs: Inputs) -> Iterator[dict[str, NDArray[Any]]]:
    """Take the inputs apart as they are served: tokens only as long as the longest text of their batch."""
    count = len(next(iter(inputs.values())))
    for start in range(0, count, BATCH):
        batch = {name: values[start : start + BATCH] for name, values in inputs.items()}
        if "tokens" in batch:
            batch["tokens"] = batch["tokens"][:, : int(batch["lengths"].max())]
        yield batch


def _joined(parts: Sequence[Sequence[NDArray[np.float32]]]) -> Outputs:
    return [np.concatenate(output) for output in zip(*parts, strict=True)]
