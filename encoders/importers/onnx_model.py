"""An ONNX image model that someone has, and the spec of its preprocessing, made into a bundle."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from encoders.bundle import Bundle, Tower, space_of
from encoders.errors import BundleError
from encoders.importers.batch import open_batch
from encoders.importers.onnx_file import read_onnx
from encoders.importers.picture_graph import surround
from encoders.importers.prune import prune
from encoders.importers.publish import new_folder, save_model
from encoders.importers.signature import embedding_output, fixed_batch, picture_input
from encoders.importers.spec import ImageSpec
from encoders.importers.trial import Trial, trial_pictures

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
    picture = picture_input(model, spec)
    output = embedding_output(model, spec)
    prune(model.graph, {output})
    batch = fixed_batch(model, picture, spec)
    with new_folder(out, name) as folder:
        graph, is_open, embeddings = _embedder(model, spec, picture.name, output, batch)
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
            max_batch=None if is_open else 1,
            labels=tuple(labels),
            licence=licence,
            attribution=attribution,
            gate={"imported_from": source.name, "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest()},
        ).write(folder)
        _check_written(folder, embeddings)
    return Bundle.load(out / name)


def _embedder(
    model: ModelProto, spec: ImageSpec, source: str, output: str, batch: int
) -> tuple[ModelProto, bool, NDArray[np.float32]]:
    """The whole graph, whether its batch is open, and what it gives for the trial pictures.

    The batch is open only when three pictures at once give what each gives alone.
    """
    alone = surround(model, spec, source=source, output=output, batch=batch)
    pictures = trial_pictures(spec.size)
    one_by_one = Trial(alone)
    embeddings = np.concatenate(
        [one_by_one.run(np.repeat(picture[None], batch, axis=0))["embedding"][:1] for picture in pictures]
    )
    _check_embeddings(embeddings)
    together = surround(open_batch(model, batch), spec, source=source, output=output, batch=None)
    is_open = _agrees(together, pictures, embeddings)
    if batch > 1 and not is_open:
        raise BundleError(
            f"The model takes exactly {batch} pictures at a time: export it with an open batch, or with 1."
        )
    return (together if is_open else alone), is_open, embeddings


def _check_embeddings(embeddings: NDArray[np.float32]) -> None:
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise BundleError(f"The model's output is no vector for each picture: its shape is {embeddings.shape[1:]}.")
    if embeddings.shape[1] > _MAX_DIMENSION:
        raise BundleError(
            f"The output has {embeddings.shape[1]:,} numbers a picture, more than {_MAX_DIMENSION:,}: name a pooled "
            "tensor of the graph as the spec's output."
        )
    if not np.isfinite(embeddings).all():
        raise BundleError("The model gives NaN or infinite numbers: check the spec's dtype, scale, mean and std.")
    if not embeddings.any():
        raise BundleError("The model gives only zeros: check the spec's output, scale, mean and std.")


def _agrees(model: ModelProto | Path, pictures: NDArray[np.uint8], embeddings: NDArray[np.float32]) -> bool:
    try:
        found = Trial(model).run(pictures)["embedding"]
    except BundleError:
        return False  # the graph cannot take so many at once: that is the answer, and no fault
    return found.shape == embeddings.shape and bool(np.abs(found - embeddings).max() <= _MAX_DIFFERENCE)


def _check_written(folder: Path, embeddings: NDArray[np.float32]) -> None:
    """Load the bundle as a server will and run it once."""
    bundle = Bundle.load(folder)
    assert bundle.preprocessing is not None
    path = bundle.path_of(next(iter(bundle.precisions)))
    if not _agrees(path, trial_pictures(bundle.preprocessing.size)[:1], embeddings[:1]):
        raise BundleError(f"{path} does not give what it gave before it was written.")
