"""Owns the way from a torch network to an ONNX file, and the answers that both give to the same inputs."""

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from training.models.served import Inputs, Outputs, batches, joined

OPSET = 17


def write_onnx(
    network: nn.Module,
    inputs: Inputs,
    outputs: Sequence[str],
    path: Path,
    *,
    sequences: Collection[str] = ("tokens",),
) -> None:
    """Export with a free number of inputs, and of tokens in `sequences`; the weights lie inside the one file.

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
            dynamic_axes={name: {0: "N", **({1: "T"} if name in sequences else {})} for name in (*inputs, *outputs)},
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def onnx_outputs(path: Path, inputs: Inputs, outputs: Sequence[str]) -> Outputs:
    """What the file says of the inputs, in ONNX Runtime on the CPU, with as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return joined([session.run(list(outputs), batch) for batch in batches(inputs)])
