"""Owns the joining of ONNX graphs: the outputs of some are the inputs of others, in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, compose, helper, version_converter

OPSET = 17


@dataclass(frozen=True, slots=True)
class Part:
    """A graph under a name of its own, and what each of its inputs reads.

    That is an input of the whole, or `name/output` of a part before it.
    """

    name: str
    model: ModelProto
    reads: Mapping[str, str]


def join(
    parts: Sequence[Part], inputs: Sequence[ValueInfoProto], outputs: Mapping[str, tuple[str, int]], path: Path
) -> None:
    """Write one graph; `outputs` gives for each name the tensor `name/output` of a part, and its width."""
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    for part in parts:
        graph = compose.add_prefix(_at_opset(part.model), f"{part.name}/").graph
        sources = {f"{part.name}/{name}": source for name, source in part.reads.items()}
        given = {tensor.name for tensor in graph.initializer}
        if missing := {value.name for value in graph.input} - given - sources.keys():
            raise ValueError(f"{part.name} reads nothing for {sorted(missing)}")
        for node in graph.node:
            node.input[:] = [sources.get(name, name) for name in node.input]
        nodes += graph.node
        constants += graph.initializer
    results = []
    for name, (source, width) in outputs.items():
        nodes.append(helper.make_node("Identity", [source], [name]))
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]))
    graph = helper.make_graph(nodes, path.stem, inputs, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _at_opset(model: ModelProto) -> ModelProto:
    version = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    return model if version == OPSET else version_converter.convert_version(model, OPSET)
