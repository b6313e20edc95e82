"""A foreign network with nodes of ours before and after it, as one graph whose names cannot clash."""

from collections.abc import Sequence

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from encoders.importers.nodes import Nodes
from encoders.importers.onnx.graphs import graphs_of

# Every tensor of the network gets this prefix, and every one of ours "fovea/".
NETWORK = "network/"
# Added to the squared length: too little to change any embedding in float32, enough to leave zeros zero.
_TINY_SQUARE = 1e-24


def frame(
    model: ModelProto,
    before: Nodes,
    after: Nodes,
    *,
    name: str,
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
) -> ModelProto:
    """Put `before` and `after` around the model's network, whose tensors they find under names that begin with `NETWORK`."""
    network = GraphProto()
    network.CopyFrom(model.graph)
    _prefix_tensors(network)
    _rename_nodes(network, {node.name for node in (*before.nodes, *after.nodes) if node.name})
    graph = helper.make_graph(
        [*before.nodes, *network.node, *after.nodes],
        name,
        inputs,
        outputs,
        [*before.constants, *network.initializer, *after.constants],
        sparse_initializer=network.sparse_initializer,
    )
    return helper.make_model(
        graph, producer_name="fovea", ir_version=_ir_version(model), opset_imports=model.opset_import
    )


def floats_of(nodes: Nodes, tensor: str, result: str) -> str:
    """Append the cast of one of the network's tensors to float32."""
    return nodes.add("Cast", [NETWORK + tensor], result, to=TensorProto.FLOAT)


def normalise(nodes: Nodes, floats: str, batch: int | None) -> None:
    """From one embedding an input, of any shape, to `embedding` of unit length."""
    if batch is None:
        flat = nodes.add("Flatten", [floats], "fovea/flat", axis=1)
    else:
        flat = nodes.add("Reshape", [floats, nodes.integers("fovea/flat_shape", [batch, -1])], "fovea/flat")
    squares = nodes.add("Mul", [flat, flat], "fovea/squares")
    squared_length = nodes.reduce("ReduceSum", squares, "fovea/sum", axes=[1], keepdims=1)
    safe = nodes.add("Add", [squared_length, nodes.floats("fovea/tiny", _TINY_SQUARE)], "fovea/safe")
    nodes.add("Div", [flat, nodes.add("Sqrt", [safe], "fovea/length")], "embedding")


def _ir_version(model: ModelProto) -> int:
    """The oldest file format that holds the operators: exporters often write a newer one than ONNX Runtime reads."""
    standard = [entry for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    try:
        needed = helper.find_min_ir_version_for(standard)
    except ValueError:  # operators that this version of onnx does not know
        needed = model.ir_version
    # From IR 4 on, initializers need not be inputs of the graph.
    return max(4, min(model.ir_version, needed))


def _prefix_tensors(graph: GraphProto) -> None:
    """Rename every tensor, nested graphs included, so that no name is equal to one of ours."""
    for nested in graphs_of(graph):
        del nested.value_info[:]
        for node in nested.node:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    names[position] = NETWORK + name if name else name
        for value in (*nested.input, *nested.output):
            value.name = NETWORK + value.name
        for tensor in (*nested.initializer, *(sparse.values for sparse in nested.sparse_initializer)):
            tensor.name = NETWORK + tensor.name


def _rename_nodes(graph: GraphProto, taken: set[str]) -> None:
    """Rename the nodes that are called like one of ours; the others stay, because names are part of a space's hash."""
    used = taken | {node.name for node in graph.node}
    for node in graph.node:
        if node.name in taken:
            name = node.name
            while name in used:
                name = NETWORK + name
            used.add(name)
            node.name = name
