"""An ONNX image model that someone has, and the spec of its preprocessing, made into a bundle."""

from collections.abc import Sequence
from pathlib import Path

from encoders.bundle import Bundle, ModelFile, Tower, space_of
from encoders.importers.embedder import check_written, make_embedder
from encoders.importers.onnx_file import read_onnx
from encoders.importers.publish import new_folder, save_model
from encoders.importers.spec import ImageSpec


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
    embedder = make_embedder(read_onnx(source), spec)
    with new_folder(out, name) as folder:
        model_file = save_model(embedder.graph, folder / "model.onnx")
        dimension = embedder.embeddings.shape[1]
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
            max_batch=embedder.max_batch,
            labels=tuple(labels),
            licence=licence,
            attribution=attribution,
            gate={"imported_from": source.name, "source_sha256": ModelFile.of(source).sha256}
            | ({"warnings": [spec.warning]} if spec.warning else {}),
        ).write(folder)
        check_written(folder, embedder)
    return Bundle.load(out / name)
