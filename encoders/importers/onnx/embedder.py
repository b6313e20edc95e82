"""An ONNX image model and the spec of its preprocessing, made into a bundle that embeds: every claim is tried."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from encoders.bundle import Bundle, ModelFile, Tower, space_of
from encoders.errors import BundleError
from encoders.importers.onnx.file import read_onnx
from encoders.importers.onnx.graphs import open_batch, prune, refuse_training_mode
from encoders.importers.onnx.image_graph import OUTPUT_FLOATS, surround
from encoders.importers.onnx.signature import check_output, embedding_output, fixed_batch, image_input
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.publish import new_folder, save_model
from encoders.importers.trial import Trial, trial_images

Embeddings = NDArray[np.float32]

# A graph that mixes the images of a batch is wrong by far more, kernels that differ by batch size by far less.
_MAX_DIFFERENCE = 2e-3
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
) -> Bundle:
    """Write the bundle `out/name` and load it, verified and tried; where it raises `BundleError` it leaves nothing."""
    graph, max_batch, embeddings = _make_embedder(read_onnx(source), spec)
    with new_folder(out, name) as folder:
        model_file = save_model(graph, folder / "model.onnx")
        dimension = embeddings.shape[1]
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
            max_batch=max_batch,
            labels=tuple(labels),
            licence=licence,
            attribution=attribution,
            gate={"imported_from": source.name, "source_sha256": ModelFile.of(source).sha256}
            | ({"warnings": [spec.warning]} if spec.warning else {}),
        ).write(folder)
        _check_written(folder, spec, embeddings)
    return Bundle.load(out / name)


def _make_embedder(model: ModelProto, spec: ImageSpec) -> tuple[ModelProto, int | None, Embeddings]:
    """Surround what the chosen output needs: a graph, its max_batch, and its embeddings (3, D) of the trial images.

    max_batch is None, for any number, if three images at once get the embeddings of each alone, and 1 otherwise.
    """
    source = image_input(model, spec)
    output = embedding_output(model, spec)
    prune(model.graph, output)
    refuse_training_mode(model.graph)
    batch = fixed_batch(model, source, spec)
    rank = _output_rank(model, spec, source=source.name, output=output, batch=batch)
    alone = surround(model, spec, source=source.name, output=output, batch=batch, rank=rank)
    embeddings = _one_by_one(alone, spec, batch)
    _check(embeddings)
    together = surround(open_batch(model, batch), spec, source=source.name, output=output, batch=None, rank=rank)
    if _agrees(together, trial_images(spec.size), embeddings):
        return together, None, embeddings
    if batch > 1:
        raise BundleError(f"The model reads exactly {batch} images at a time: export it with an open batch, or with 1.")
    return alone, 1, embeddings


def _check_written(folder: Path, spec: ImageSpec, embeddings: Embeddings) -> None:
    """Load the bundle as a server will, run it once, and raise unless it computes the same as before it was written."""
    path = Bundle.load(folder).path_of("fp16" if spec.dtype == "float16" else "fp32")
    if not _agrees(path, trial_images(spec.size)[:1], embeddings[:1]):
        raise BundleError(f"{path} does not compute the same as before it was written.")


def _output_rank(model: ModelProto, spec: ImageSpec, *, source: str, output: str, batch: int) -> int:
    """How many axes the output has; raises unless it is one embedding an image, or the spec says how to pool it."""
    unpooled = dataclasses.replace(spec, pooling=None)
    graph = surround(model, unpooled, source=source, output=output, batch=batch, rank=0)
    graph.graph.output.append(helper.make_tensor_value_info(OUTPUT_FLOATS, TensorProto.FLOAT, None))
    shape = Trial(graph).run(trial_images(spec.size)[:1].repeat(batch, axis=0))[OUTPUT_FLOATS].shape
    check_output(shape, spec, output=output, batch=batch)
    return len(shape)


def _one_by_one(graph: ModelProto, spec: ImageSpec, batch: int) -> Embeddings:
    """The embedding by a graph with a fixed batch of each trial image, repeated to fill the batch."""
    trial = Trial(graph)
    outputs = [trial.run(image[None].repeat(batch, axis=0)) for image in trial_images(spec.size)]
    return np.concatenate([output["embedding"][:1] for output in outputs])


def _check(embeddings: Embeddings) -> None:
    if embeddings.shape[1] > _MAX_DIMENSION:
        raise BundleError(
            f"The output has {embeddings.shape[1]:,} numbers an image, more than {_MAX_DIMENSION:,}: name a pooled "
            "tensor of the graph as the spec's output."
        )
    if not np.isfinite(embeddings).all():
        raise BundleError("The model's output is NaN or infinite: check the spec's dtype, scale, mean and std.")
    if not embeddings.any():
        raise BundleError("The model's output is only zeros: check the spec's output, scale, mean and std.")
    if np.linalg.norm(embeddings - embeddings[0], axis=1).max() <= _LEAST_DISTANCE:
        raise BundleError(
            "The model computes one embedding for all of three different images: "
            "check the spec's output, scale, mean and std."
        )


def _agrees(model: ModelProto | Path, images: NDArray[np.uint8], embeddings: Embeddings) -> bool:
    try:
        found = Trial(model).run(images)["embedding"]
    except BundleError:
        return False  # a graph that cannot run so many at once is served with smaller batches
    return found.shape == embeddings.shape and bool(np.abs(found - embeddings).max() <= _MAX_DIFFERENCE)
