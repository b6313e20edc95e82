"""A foreign network made into an embedder: preprocessing before it, unit length after it, and every claim tried."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.batch import open_batch
from encoders.importers.picture_graph import OUTPUT_FLOATS, surround
from encoders.importers.pooling import check_output
from encoders.importers.prune import prune
from encoders.importers.signature import embedding_output, fixed_batch, picture_input
from encoders.importers.spec import ImageSpec
from encoders.importers.training_mode import refuse_training_mode
from encoders.importers.trial import Trial, trial_pictures

Embeddings = NDArray[np.float32]

# A graph that mixes the pictures of a batch is wrong by far more, kernels that differ by batch size by far less.
_MAX_DIFFERENCE = 2e-3
# Between unit vectors; an untrained network already tells noise from stripes by a hundred times more.
_LEAST_DISTANCE = 1e-5
_MAX_DIMENSION = 32_768  # what Milvus can hold


@dataclass(frozen=True, slots=True)
class Embedder:
    """A graph from `image` to `embedding`; `max_batch` is 1 where it takes one picture at a time, None for any number.

    `embeddings` (3, D) are what it gives for the trial pictures.
    """

    graph: ModelProto
    max_batch: int | None
    embeddings: Embeddings


def make_embedder(model: ModelProto, spec: ImageSpec) -> Embedder:
    """Surround what the chosen output needs; the batch is open when three pictures at once give what each gives alone."""
    source = picture_input(model, spec)
    output = embedding_output(model, spec)
    prune(model.graph, {output})
    refuse_training_mode(model.graph)
    batch = fixed_batch(model, source, spec)
    rank = _output_rank(model, spec, source=source.name, output=output, batch=batch)
    alone = surround(model, spec, source=source.name, output=output, batch=batch, rank=rank)
    embeddings = _one_by_one(alone, spec, batch)
    _check(embeddings)
    together = surround(open_batch(model, batch), spec, source=source.name, output=output, batch=None, rank=rank)
    if _agrees(together, trial_pictures(spec.size), embeddings):
        return Embedder(together, None, embeddings)
    if batch > 1:
        raise BundleError(
            f"The model takes exactly {batch} pictures at a time: export it with an open batch, or with 1."
        )
    return Embedder(alone, 1, embeddings)


def check_written(folder: Path, embedder: Embedder) -> None:
    """Load a bundle as a server will, run it once, and raise unless it gives what it gave before."""
    bundle = Bundle.load(folder)
    assert bundle.preprocessing is not None
    path = bundle.path_of(next(iter(bundle.precisions)))
    if not _agrees(path, trial_pictures(bundle.preprocessing.size)[:1], embedder.embeddings[:1]):
        raise BundleError(f"{path} does not give what it gave before it was written.")


def _output_rank(model: ModelProto, spec: ImageSpec, *, source: str, output: str, batch: int) -> int:
    """How many axes the output has; raises unless it is one embedding an image, or the spec says how to pool it."""
    unpooled = dataclasses.replace(spec, pooling=None)
    graph = surround(model, unpooled, source=source, output=output, batch=batch, rank=0)
    graph.graph.output.append(helper.make_tensor_value_info(OUTPUT_FLOATS, TensorProto.FLOAT, None))
    shape = Trial(graph).run(trial_pictures(spec.size)[:1].repeat(batch, axis=0))[OUTPUT_FLOATS].shape
    check_output(shape, spec, output=output, batch=batch)
    return len(shape)


def _one_by_one(graph: ModelProto, spec: ImageSpec, batch: int) -> Embeddings:
    """What a graph with a fixed batch gives for each trial picture, repeated to fill the batch."""
    trial = Trial(graph)
    answers = [trial.run(picture[None].repeat(batch, axis=0)) for picture in trial_pictures(spec.size)]
    return np.concatenate([answer["embedding"][:1] for answer in answers])


def _check(embeddings: Embeddings) -> None:
    if embeddings.shape[1] > _MAX_DIMENSION:
        raise BundleError(
            f"The output has {embeddings.shape[1]:,} numbers a picture, more than {_MAX_DIMENSION:,}: name a pooled "
            "tensor of the graph as the spec's output."
        )
    if not np.isfinite(embeddings).all():
        raise BundleError("The model gives NaN or infinite numbers: check the spec's dtype, scale, mean and std.")
    if not embeddings.any():
        raise BundleError("The model gives only zeros: check the spec's output, scale, mean and std.")
    if np.linalg.norm(embeddings - embeddings[0], axis=1).max() <= _LEAST_DISTANCE:
        raise BundleError(
            "The model gives one embedding for all of three different images: check the spec's output, scale, mean and "
            "std."
        )


def _agrees(model: ModelProto | Path, pictures: NDArray[np.uint8], embeddings: Embeddings) -> bool:
    try:
        found = Trial(model).run(pictures)["embedding"]
    except BundleError:
        return False  # the graph cannot take so many at once: that is the answer, and no fault
    return found.shape == embeddings.shape and bool(np.abs(found - embeddings).max() <= _MAX_DIFFERENCE)
