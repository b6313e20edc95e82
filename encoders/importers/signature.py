"""Which input of a graph takes the picture, which tensor is the embedding, and whether the spec is true to them."""

from onnx import ModelProto, TensorProto, ValueInfoProto

from encoders.errors import BundleError
from encoders.importers.picture_graph import ELEMENT_TYPES
from encoders.importers.spec import ImageSpec


def picture_input(model: ModelProto, spec: ImageSpec) -> ValueInfoProto:
    """The input that the spec names, or the only one."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in constants}
    if spec.input in inputs:
        return inputs[spec.input]
    if not spec.input and len(inputs) == 1:
        return next(iter(inputs.values()))
    problem = f"The model has no input {spec.input!r}" if spec.input else "The spec must name the picture's input"
    raise BundleError(f"{problem}; its inputs are {', '.join(inputs) or 'none'}.")


def embedding_output(model: ModelProto, spec: ImageSpec) -> str:
    """The tensor that the spec names, an output or one inside the graph, or the only output."""
    outputs = [value.name for value in model.graph.output]
    inside = {name for node in model.graph.node for name in node.output}
    if spec.output in inside or (spec.output and spec.output in outputs):
        return spec.output
    if not spec.output and len(outputs) == 1:
        return outputs[0]
    problem = f"The model has no output {spec.output!r}" if spec.output else "The spec must name the embedding's output"
    raise BundleError(f"{problem}; its outputs are {', '.join(outputs)}.")


def fixed_batch(model: ModelProto, picture: ValueInfoProto, spec: ImageSpec) -> int:
    """The batch that the input fixes, 1 where it leaves it open; raises where spec and graph disagree."""
    constants = {tensor.name for tensor in model.graph.initializer}
    left = [value.name for value in model.graph.input if value.name not in constants]
    if left != [picture.name]:
        raise BundleError(f"The output depends on the inputs {', '.join(left) or 'none'}, not on {picture.name} alone.")
    tensor = picture.type.tensor_type
    if tensor.elem_type != ELEMENT_TYPES[spec.dtype]:
        found = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise BundleError(f"The spec's dtype is {spec.dtype}, but the model's input {picture.name} is {found}.")
    if not tensor.HasField("shape"):
        return 1
    width_px, height_px = spec.size
    by_axis = (spec.channels, height_px, width_px) if spec.layout == "NCHW" else (height_px, width_px, spec.channels)
    sizes = [axis.dim_value for axis in tensor.shape.dim]
    fits = len(sizes) == 4 and all(found in {wanted, 0, -1} for found, wanted in zip(sizes[1:], by_axis, strict=True))
    if not fits:
        found = "x".join(str(size) if size > 0 else "?" for size in sizes)
        wanted = "x".join(str(size) for size in by_axis)
        raise BundleError(
            f"The spec's size, layout and color make an input of Nx{wanted}, but the model takes {found}."
        )
    return max(1, sizes[0])
