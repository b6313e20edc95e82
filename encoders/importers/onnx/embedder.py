"""An ONNX image model and the spec of its preprocessing, made into a bundle that embeds: every claim is tried."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper

from encoders.bundle import Bundle, ModelFile, Tower, space_of
from encoders.errors import BundleError
from encoders.importers.onnx.batching import Outputs, TriedGraph, repeated, try_batches
from encoders.importers.onnx.file import read_onnx
from encoders.importers.onnx.graphs import prune, refuse_training_mode
from encoders.importers.onnx.image_graph import OUTPUT_FLOATS, surround
from encoders.importers.onnx.precisions import save_precisions
from encoders.importers.onnx.signature import check_output, embedding_output, fixed_batch, image_input
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.publish import new_folder
from encoders.importers.trial import Trial, trial_images

# Between unit-length embeddings; an untrained network already separates noise from stripes by a hundred times more.
_LEAST_DISTANCE = 1e-5
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
    fp16: bool = False,
) -> Bundle:
    """Write the bundle `out/name` and load it, verified and tried; where it raises `BundleError` it leaves nothing."""
    tried = make_image_embedder(read_onnx(source), spec)
    with new_folder(out, name) as folder:
        first_image = {"image": trial_images(spec.size)[:1]}
        files, gate = save_precisions(tried, folder, first_image, precision=spec.precision, fp16=fp16)
        dimension = tried.outputs["embedding"].shape[1]
        tower = Tower(model_sha256=files[spec.precision].sha256, preprocessing=spec.preprocessing)
        Bundle(
            folder=folder,
            name=name,
            version="1",
            kind=spec.modality,
            modalities=(spec.modality,),
            space=space_of(dimension, tower),
            dimension=dimension,
            preprocessing=spec.preprocessing,
            precisions=files,
            max_batch=tried.max_batch,
            labels=tuple(labels),
            licence=licence,
            attribution=attribution,
            gate={"imported_from": source.name, "source_sha256": ModelFile.of(source).sha256, **gate}
            | ({"warnings": [spec.warning]} if spec.warning else {}),
        ).write(folder)
    return Bundle.load(out / name)


def make_image_embedder(model: ModelProto, spec: ImageSpec, usual_outputs: Sequence[str] = ()) -> TriedGraph:
    """Cut the model down to what the chosen output needs, surround it and try it on three images.

    Without an output in the spec it is the only one of the model, or the first of `usual_outputs`.
    """
    output = embedding_output(model, spec.output, usual_outputs)
    prune(model.graph, output)
    refuse_training_mode(model.graph)
    source = image_input(model, spec)
    batch = fixed_batch(model, source, spec)
    rank = _output_rank(model, spec, source=source.name, output=output, batch=batch)
    images = trial_images(spec.size)
    return try_batches(
        model,
        lambda opened, count: surround(opened, spec, source=source.name, output=output, batch=count, rank=rank),
        tensors=(output,),
        singles=[{"image": image[None]} for image in images],
        together={"image": images},
        batch=batch,
        check=lambda outputs: check_embeddings(outputs, what="images", remedy="output, scale, mean and std"),
    )


def check_embeddings(outputs: Outputs, *, what: str, remedy: str) -> None:
    """Raise `BundleError` unless the embeddings of three different inputs are finite, different and storable."""
    embeddings = outputs["embedding"]
    if embeddings.shape[1] > _MAX_DIMENSION:
        raise BundleError(
            f"The output has {embeddings.shape[1]:,} numbers an input, more than {_MAX_DIMENSION:,}: "
            "name a pooled tensor of the graph as the spec's output."
        )
    if not np.isfinite(embeddings).all():
        raise BundleError(f"The model's output is NaN or infinite: check the spec's {remedy}, and its types.")
    if not embeddings.any():
        raise BundleError(f"The model's output is only zeros: check the spec's {remedy}.")
    if np.linalg.norm(embeddings - embeddings[0], axis=1).max() <= _LEAST_DISTANCE:
        raise BundleError(
            f"The model computes one embedding for all of three different {what}: check the spec's {remedy}."
        )


def _output_rank(model: ModelProto, spec: ImageSpec, *, source: str, output: str, batch: int) -> int:
    """How many axes the output has; raises unless it is one embedding an image, or the spec says how to pool it."""
    unpooled = dataclasses.replace(spec, pooling=None, skip_tokens=0)
    graph = surround(model, unpooled, source=source, output=output, batch=batch, rank=0)
    graph.graph.output.append(helper.make_tensor_value_info(OUTPUT_FLOATS, TensorProto.FLOAT, None))
    shape = Trial(graph).run(repeated({"image": trial_images(spec.size)[:1]}, batch))[OUTPUT_FLOATS].shape
    check_output(shape, spec, output=output, batch=batch)
    return len(shape)
