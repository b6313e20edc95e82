"""Foreign ONNX graphs, read and changed: cut down to one output, refused in training mode, opened to any batch."""

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from encoders.errors import BundleError


def opset_of(model: ModelProto) -> int:
    """The version of the standard operators that the model is written for."""
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and every graph nested in its nodes."""
    yield graph
    for node in graph.node:
        for nested in _subgraphs_of(node):
            yield from graphs_of(nested)


def prune(graph: GraphProto, *outputs: str) -> None:
    """Remove the nodes, initializers and inputs on which none of the tensors `outputs` depends."""
    needed, kept = set(outputs), []
    for node in reversed(graph.node):  # nodes are in topological order
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _reads_of(node)
    _keep(graph.node, kept[::-1])
    _keep(graph.initializer, [item for item in graph.initializer if item.name in needed])
    _keep(graph.sparse_initializer, [item for item in graph.sparse_initializer if item.values.name in needed])
    _keep(graph.input, [item for item in graph.input if item.name in needed])


def sort_nodes(graph: GraphProto) -> None:
    """Bring the nodes into topological order, those that are ready in the order in which they stand."""
    made = {output for node in graph.node for output in node.output if output}
    waiting, ordered = list(graph.node), []
    while waiting:
        blocked = []
        for node in waiting:
            if made.isdisjoint(_reads_of(node)):
                ordered.append(node)
                made.difference_update(node.output)
            else:
                blocked.append(node)
        if len(blocked) == len(waiting):
            raise BundleError("The graph's nodes depend on each other in a circle.")
        waiting = blocked
    _keep(graph.node, ordered)


def refuse_training_mode(graph: GraphProto) -> None:
    """Raise `BundleError` for a graph exported in training mode: its outputs are random, or depend on the batch."""
    constants = dict(_constants(graph))
    for nested in graphs_of(graph):
        for node in nested.node:
            if _is_training(node, constants):
                raise BundleError(
                    f"The model was exported in training mode ({node.op_type} {node.name or node.output[0]}): export it "
                    "again for inference, in torch after model.eval()."
                )


def open_batch(model: ModelProto, batch: int) -> ModelProto:
    """A copy whose constant `Reshape` targets no longer fix the batch; whether it then computes the same must be tried.

    A target (batch, ...) becomes (0, ...), the size that comes in, or (-1, ...) where the rest is known.
    """
    opened = ModelProto()
    opened.CopyFrom(model)
    constants = dict(_constants(opened.graph))
    for node in opened.graph.node:
        if node.op_type == "Constant" and node.output[0] in constants:
            # These names are part of the bundle's file, so of the hash that names its space: they must stay as they are.
            constants[node.output[0]].name = node.output[0]
        if node.op_type != "Reshape" or len(node.input) != 2 or node.input[1] not in constants:
            continue
        target = constants[node.input[1]]
        shape = numpy_helper.to_array(target).copy()
        if shape.size and shape[0] == batch:
            shape[0] = 0 if -1 in shape[1:] else -1
            # The shape may be shared with another reshape: that one gets the same treatment anyway.
            target.CopyFrom(numpy_helper.from_array(shape, target.name))
    del opened.graph.value_info[:]  # the shapes noted there still name the old batch
    return opened


def _subgraphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """The branches and bodies that a node like `If` or `Loop` carries."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _reads_of(node: NodeProto) -> set[str]:
    """The names that a node reads, also from inside its branches and bodies."""
    names = {name for name in node.input if name}
    for graph in _subgraphs_of(node):
        for nested in graph.node:
            names |= _reads_of(nested)
        names |= {output.name for output in graph.output}
    return names


def _keep(field: Any, items: Sequence[Message]) -> None:
    del field[:]
    field.extend(items)


def _is_training(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    if node.op_type == "BatchNormalization":
        flags = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        # Before opset 14 only the outputs say so: the running statistics behind the normalised values.
        return bool(flags.get("training_mode", 0)) or sum(map(bool, node.output)) > 1
    if node.op_type == "Dropout" and len(node.input) == 3:
        mode = constants.get(node.input[2])
        return mode is not None and bool(numpy_helper.to_array(mode).any())
    return False


def _constants(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for nested in graphs_of(graph):
        yield from ((tensor.name, tensor) for tensor in nested.initializer)
        for node in nested.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                yield node.output[0], node.attribute[0].t
