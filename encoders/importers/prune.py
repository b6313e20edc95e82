"""A graph cut down to what its chosen outputs need."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from onnx import GraphProto, NodeProto

from encoders.importers.onnx_file import subgraphs_of


def prune(graph: GraphProto, outputs: set[str]) -> None:
    """Remove the nodes, initializers and inputs that none of the tensors `outputs` depends on."""
    needed, kept = set(outputs), []
    for node in reversed(graph.node):  # nodes are in topological order
        if needed.intersection(node.output):
            kept.append(node)
            needed |= reads_of(node)
    _keep(graph.node, kept[::-1])
    _keep(graph.initializer, [item for item in graph.initializer if item.name in needed])
    _keep(graph.sparse_initializer, [item for item in graph.sparse_initializer if item.values.name in needed])
    _keep(graph.input, [item for item in graph.input if item.name in needed])


def reads_of(node: NodeProto) -> set[str]:
    """The names that a node reads, also from inside its branches and bodies."""
    names = {name for name in node.input if name}
    for graph in subgraphs_of(node):
        for nested in graph.node:
            names |= reads_of(nested)
        names |= {output.name for output in graph.output}
    return names


def _keep(field: Any, items: Sequence[Message]) -> None:
    del field[:]
    field.extend(items)
