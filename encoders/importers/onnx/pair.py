"""An image and a text model of one space, in two ONNX files or in one, made into two bundles."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto

from encoders.bundle import Bundle, ModelFile, Tower, space_of
from encoders.errors import BundleError
from encoders.importers.onnx.batching import TriedGraph
from encoders.importers.onnx.embedder import make_image_embedder
from encoders.importers.onnx.file import read_onnx
from encoders.importers.onnx.precisions import save_precisions
from encoders.importers.onnx.text_embedder import TRIAL_TEXTS, make_text_embedder, text_feeds
from encoders.importers.onnx.text_spec import PairSpec
from encoders.importers.onnx.tokenizer import prepare_texts
from encoders.importers.publish import new_folder
from encoders.importers.trial import Feeds, trial_images

_USUAL_IMAGE_OUTPUTS = ("image_embeds", "image_features", "image_embeddings", "pooler_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFiles:
    """The files of a pair; `image` and `text` may be the same one, of which each bundle keeps its part."""

    image: Path
    text: Path
    tokenizer: Path


def import_pair(
    files: PairFiles,
    *,
    name: str,
    spec: PairSpec,
    out: Path,
    licence: str = "",
    attribution: str = "",
    languages: Sequence[str] = (),
    fp16: bool = False,
) -> tuple[Bundle, Bundle]:
    """Write the bundles `out/name` and `out/name-text` of one space; where it raises `BundleError` it leaves neither."""
    preparation = prepare_texts(files.tokenizer, spec.text)
    texts = make_text_embedder(read_onnx(files.text), spec.text, preparation)
    images = make_image_embedder(read_onnx(files.image), spec.image, _USUAL_IMAGE_OUTPUTS)
    dimension = _shared_dimension(images, texts)
    with ExitStack() as stack:
        image_folder, text_folder = (stack.enter_context(new_folder(out, name + suffix)) for suffix in ("", "-text"))
        image_part = _saved(
            images, image_folder, {"image": trial_images(spec.image.size)[:1]}, spec.image.precision, fp16=fp16
        )
        (text_folder / "tokenizer.json").write_bytes(preparation.tokenizer_json)
        tokenizer = ModelFile.of(text_folder / "tokenizer.json")
        first_text = text_feeds(preparation.tokens(TRIAL_TEXTS[:1]))
        text_part = _saved(texts, text_folder, first_text, _precision_of(texts.network), fp16=fp16)
        space = space_of(
            dimension,
            Tower(image_part.reference.sha256, spec.image.preprocessing),
            Tower(text_part.reference.sha256, None, tokenizer.sha256, preparation.text_cleaning),
        )
        shared: dict[str, Any] = {
            "version": "1",
            "space": space,
            "dimension": dimension,
            "licence": licence,
            "attribution": attribution,
        }
        warnings = {"warnings": [spec.image.warning]} if spec.image.warning else {}
        Bundle(
            folder=image_folder,
            name=name,
            kind="image",
            modalities=("image", "sketch") if spec.sketches else ("image",),
            preprocessing=spec.image.preprocessing,
            precisions=image_part.files,
            max_batch=images.max_batch,
            gate={**_origin(files.image), **spec.information, **image_part.gate, **warnings},
            **shared,
        ).write(image_folder)
        Bundle(
            folder=text_folder,
            name=f"{name}-text",
            kind="text",
            modalities=("text",),
            tokenizer=tokenizer,
            max_tokens=spec.text.length,
            text_cleaning=preparation.text_cleaning,
            languages=tuple(languages),
            precisions=text_part.files,
            max_batch=texts.max_batch,
            gate={**_origin(files.text), **spec.information, **text_part.gate},
            **shared,
        ).write(text_folder)
    return Bundle.load(out / name), Bundle.load(out / f"{name}-text")


@dataclass(frozen=True, slots=True)
class _SavedTower:
    files: Mapping[str, ModelFile]
    reference: ModelFile
    gate: Mapping[str, object]


def _saved(tried: TriedGraph, folder: Path, feeds: Feeds, precision: str, *, fp16: bool) -> _SavedTower:
    files, gate = save_precisions(tried, folder, feeds, precision=precision, fp16=fp16)
    return _SavedTower(files, files[precision], gate)


def _shared_dimension(images: TriedGraph, texts: TriedGraph) -> int:
    found = [int(tried.outputs["embedding"].shape[1]) for tried in (images, texts)]
    if found[0] != found[1]:
        raise BundleError(
            f"The image model's embedding has {found[0]} numbers and the text model's {found[1]}: name the projected "
            "outputs of one model in the spec's image.output and text.output."
        )
    return found[0]


def _precision_of(network: ModelProto) -> str:
    is_half = any(tensor.data_type == TensorProto.FLOAT16 for tensor in network.graph.initializer)
    return "fp16" if is_half else "fp32"


def _origin(path: Path) -> dict[str, object]:
    return {"imported_from": path.name, "source_sha256": ModelFile.of(path).sha256}
