"""Which input of a graph reads the image, which tensor is the embedding, and whether the spec fits both."""

from collections.abc import Sequence
from math import prod
from typing import get_args

from onnx import ModelProto, TensorProto, ValueInfoProto

from encoders.errors import BundleError
from encoders.importers.onnx.image_graph import ELEMENT_TYPES, REDUCTIONS
from encoders.importers.onnx.spec import ImageSpec, Pooling


def image_input(model: ModelProto, spec: ImageSpec, further: Sequence[str] = ()) -> ValueInfoProto:
    """The input that the spec names, or the only one besides `further` ones."""
    inputs = {name: value for name, value in inputs_of(model).items() if name not in further}
    return inputs[_chosen(spec.input, list(inputs), kind="input", of="image")]


def embedding_output(model: ModelProto, name: str, usual: Sequence[str] = ()) -> str:
    """The tensor that the spec names, an output or one inside the graph, else the only output or the first `usual` one."""
    if name and any(name in node.output for node in model.graph.node):
        return name
    outputs = [value.name for value in model.graph.output]
    found = next((known for known in usual if known in outputs), "") if len(outputs) > 1 else ""
    return _chosen(name or found, outputs, kind="output", of="embedding")


def fixed_batch(model: ModelProto, image: ValueInfoProto, spec: ImageSpec, further: Sequence[str] = ()) -> int:
    """The batch that the input fixes, 1 where it leaves it open; raises where spec and graph disagree."""
    inputs = [name for name in inputs_of(model) if name not in further]
    if inputs != [image.name]:
        raise BundleError(f"The output depends on the inputs {', '.join(inputs) or 'none'}, not on {image.name} alone.")
    tensor = image.type.tensor_type
    if tensor.elem_type != ELEMENT_TYPES[spec.dtype]:
        found = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise BundleError(f"The spec's dtype is {spec.dtype}, but the model's input {image.name} is {found}.")
    if not tensor.HasField("shape"):
        return 1
    width_px, height_px = spec.size
    by_axis = (spec.channels, height_px, width_px) if spec.layout == "NCHW" else (height_px, width_px, spec.channels)
    sizes = [axis.dim_value for axis in tensor.shape.dim]
    fits = len(sizes) == 4 and all(found in {side, 0, -1} for found, side in zip(sizes[1:], by_axis, strict=True))
    if not fits:
        found = "x".join(str(size) if size > 0 else "?" for size in sizes)
        raise BundleError(
            f"The spec's size, layout and color make an input of Nx{'x'.join(map(str, by_axis))}, but the model's is {found}."
        )
    return max(1, sizes[0])


def check_output(shape: Sequence[int], spec: ImageSpec, *, output: str, batch: int) -> None:
    """Raise `BundleError` unless an output of this shape, for `batch` images, is or is pooled to one embedding each.

    (N, D) is one, and so is any shape with a single axis that is not 1, such as (N, D, 1, 1). With the spec's `pooling`
    tokens are (N, T, D), and maps (N, C, H, W), or (N, H, W, C) where the spec's layout is NHWC.
    """
    per_image = tuple(shape[1:] if len(shape) > 1 or batch > 1 else shape)
    shown = f"The model's output {output} is {' x '.join(map(str, shape)) or 'a single number'}"
    if len(shape) > 1 and shape[0] != batch:
        raise BundleError(f"{shown} for {batch} images: name an output whose first axis counts the images.")
    if spec.pooling is None:
        if prod(per_image) != max(per_image, default=0):
            raise BundleError(f"{shown}, not one embedding an image: {_remedy(len(shape))}.")
    elif spec.skip_tokens and (len(shape) != 3 or shape[1] <= spec.skip_tokens):
        raise BundleError(f"{shown}, so the spec's skip_tokens of {spec.skip_tokens} leaves no token to pool.")
    elif spec.pooling not in _poolings(len(shape)):
        raise BundleError(f'{shown}, so the spec\'s "pooling": "{spec.pooling}" does not fit: {_remedy(len(shape))}.')


def inputs_of(model: ModelProto) -> dict[str, ValueInfoProto]:
    """The inputs that a caller must give, by name."""
    # Old exporters list initializers among the inputs too.
    constants = {tensor.name for tensor in model.graph.initializer}
    return {value.name: value for value in model.graph.input if value.name not in constants}


def _chosen(name: str, known: Sequence[str], *, kind: str, of: str) -> str:
    if name in known:
        return name
    if not name and len(known) == 1:
        return known[0]
    problem = f"The model has no {kind} {name!r}" if name else f"The spec must name the {of}'s {kind}"
    raise BundleError(f"{problem}; its {kind}s are {', '.join(known) or 'none'}.")


def _poolings(rank: int) -> tuple[Pooling, ...]:
    return {3: get_args(Pooling), 4: tuple(REDUCTIONS)}.get(rank, ())


def _remedy(rank: int) -> str:
    name = "name a tensor of the graph that is (N, D) as the spec's output"
    if not (choices := _poolings(rank)):
        return name if rank != 2 else "leave it out"
    what = "tokens" if rank == 3 else "a map"
    return f'if these are {what}, give the spec a "pooling" of {" or ".join(choices)}; else {name}'
