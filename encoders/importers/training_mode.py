"""Graphs that were exported while their network was training: their answers are random, or depend on the batch."""

from collections.abc import Iterator

from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from encoders.errors import BundleError
from encoders.importers.onnx_file import graphs_of


def refuse_training_mode(graph: GraphProto) -> None:
    """Raise `BundleError` naming the first node that was exported in training mode."""
    constants = dict(_constants(graph))
    for nested in graphs_of(graph):
        for node in nested.node:
            if _is_training(node, constants):
                raise BundleError(
                    f"The model was exported in training mode ({node.op_type} {node.name or node.output[0]}): export it "
                    "again for inference, in torch after model.eval()."
                )


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
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                yield node.output[0], node.attribute[0].t
