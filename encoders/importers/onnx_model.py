"""An ONNX image model that someone has, and the spec of its preprocessing, made into a bundle."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto

from encoders.bundle import Bundle, Tower, space_of
from encoders.errors import BundleError
from encoders.importers.batch import open_batch
from encoders.importers.onnx_file import read_onnx
from encoders.importers.picture_graph import surround
from encoders.importers.prune import prune
from encoders.importers.publish import new_folder, save_model
from encoders.importers.spec import ImageSpec
from encoders.importers.trial import Trial, trial_pictures

_ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
# A graph that mixes the pictures of a batch is wrong by far more, kernels that differ by batch size by far less.
_MAX_DIFFERENCE = 2e-3
_MAX_DIMENSION = 32_768  # what Milvus can hold


def import_onnx(
    source: Path,
    *,
    name: str,
    spec: ImageSpec,
    out: Path,
    labels: Sequence[str] = (),
    licence: str = "",
    attribution: str = "",
) -> Bundle:
    """Write the bundle `out/name` and give it back, loaded, verified and tried; raises `BundleError`, leaving nothing."""
    model = read_onnx(source)
    picture_input = _picture_input(model, spec)
    output = _output(model, spec)
    prune(model.graph, {output})
    batch = _check_input(model, picture_input, spec)
    with new_folder(out, name) as folder:
        graph, is_open = _embedder(model, spec, picture_input.name, output, batch)
        model_file = save_model(graph, folder / "model.onnx")
        dimension = _try_out(folder / model_file.file, spec, 1 if is_open else batch)
        tower = Tower(model_sha256=model_file.sha256, preprocessing=spec.preprocessing)
        Bundle(
            folder=folder,
            name=name,
            version="1",
            kind=spec.modality,
            modalities=(spec.modality,),
            space=space_of(dimension, tower),
            dimension=dimension,
            preprocessing=spec.preprocessing,
            precisions={"fp16" if spec.dtype == "float16" else "fp32": model_file},
            max_batch=None if is_open else batch,
            labels=tuple(labels),
            licence=licence,
            attribution=attribution,
            gate={"imported_from": source.name, "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest()},
        ).write(folder)
        Bundle.load(folder)
    return Bundle.load(out / name)


def _picture_input(model: ModelProto, spec: ImageSpec) -> ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in constants}
    if spec.input in inputs:
        return inputs[spec.input]
    if not spec.input and len(inputs) == 1:
        return next(iter(inputs.values()))
    problem = f"The model has no input {spec.input!r}" if spec.input else "The spec must name the picture's input"
    raise BundleError(f"{problem}; its inputs are {', '.join(inputs) or 'none'}.")


def _output(model: ModelProto, spec: ImageSpec) -> str:
    outputs = [value.name for value in model.graph.output]
    inside = {name for node in model.graph.node for name in node.output}
    if spec.output in inside or (spec.output and spec.output in outputs):
        return spec.output
    if not spec.output and len(outputs) == 1:
        return outputs[0]
    problem = f"The model has no output {spec.output!r}" if spec.output else "The spec must name the embedding's output"
    raise BundleError(f"{problem}; its outputs are {', '.join(outputs)}.")


def _check_input(model: ModelProto, picture: ValueInfoProto, spec: ImageSpec) -> int:
    """The batch that the input fixes, 1 where it leaves it open; raises where spec and graph disagree."""
    constants = {tensor.name for tensor in model.graph.initializer}
    left = [value.name for value in model.graph.input if value.name not in constants]
    if left != [picture.name]:
        raise BundleError(f"The output depends on the inputs {', '.join(left) or 'none'}, not on {picture.name} alone.")
    tensor = picture.type.tensor_type
    if tensor.elem_type != _ELEMENT_TYPES[spec.dtype]:
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


def _embedder(model: ModelProto, spec: ImageSpec, source: str, output: str, batch: int) -> tuple[ModelProto, bool]:
    """The whole graph, and whether its batch is open: only when three pictures at once equal three alone."""
    alone = surround(model, spec, source=source, output=output, batch=batch)
    together = surround(open_batch(model, batch), spec, source=source, output=output, batch=None)
    pictures = trial_pictures(spec.size)
    one_by_one = Trial(alone)
    expected = np.concatenate(
        [one_by_one.run(np.repeat(picture[None], batch, axis=0))["embedding"][:1] for picture in pictures]
    )
    return (together, True) if _agrees(together, pictures, expected) else (alone, False)


def _agrees(model: ModelProto, pictures: NDArray[np.uint8], expected: NDArray[np.float32]) -> bool:
    try:
        found = Trial(model).run(pictures)["embedding"]
    except BundleError:
        return False  # the graph cannot take three at once: that is the answer, and no fault
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= _MAX_DIFFERENCE)


def _try_out(path: Path, spec: ImageSpec, batch: int) -> int:
    """Run the written file once and give back the embedding's dimension."""
    picture = np.repeat(trial_pictures(spec.size)[:1], batch, axis=0)
    embedding = Trial(path).run(picture)["embedding"]
    if embedding.ndim != 2 or len(embedding) != batch:
        raise BundleError(
            f"The model's output has the shape {embedding.shape} for {batch} pictures: it is no embedding."
        )
    if not np.isfinite(embedding).all():
        raise BundleError("The model gives NaN or infinite numbers: check the spec's dtype, scale, mean and std.")
    if embedding.shape[1] > _MAX_DIMENSION:
        raise BundleError(
            f"The output has {embedding.shape[1]:,} numbers a picture, more than {_MAX_DIMENSION:,}: name a pooled "
            "tensor of the graph as the spec's output."
        )
    return int(embedding.shape[1])
