"""Makes one bundle of each part of a published checkpoint; together they share one space."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from encoders.bundle import Bundle, ModelFile, Tower, space_of
from encoders.errors import BundleError
from encoders.importers.publish import new_folder
from encoders.importers.trial import trial_images
from training.gate import LEAST_COSINE, closeness
from training.models.served import Inputs, torch_outputs
from training.onnx_graph import onnx_outputs, write_onnx
from training.published.part import Part

_OUTPUTS = ("embedding",)
_TRIAL_TEXTS = ("a photo of a cat", "a man in a red coat with a black bag, seen from behind", "trees")


@dataclass(frozen=True, slots=True)
class _Files:
    """What was written of one part, and how near its graph is to torch."""

    model: ModelFile
    tokenizer: ModelFile | None
    dimension: int
    least_cosine: float


def write_bundles(
    parts: Sequence[Part], *, name: str, out: Path, checkpoint: Path, licence: str = ""
) -> tuple[Bundle, ...]:
    """Write `out/name` and its siblings; where one of them fails none is left.

    There are no real inputs to measure a stranger's network on: each graph has to answer three trial inputs as torch
    does, `BundleError` where it does not, and only fp32 is kept.
    """
    with ExitStack() as stack:
        folders = [stack.enter_context(new_folder(out, name + part.suffix)) for part in parts]
        written = [_write_files(part, folder) for part, folder in zip(parts, folders, strict=True)]
        space = space_of(
            written[0].dimension,
            *(
                Tower(
                    files.model.sha256,
                    part.preprocessing,
                    files.tokenizer.sha256 if files.tokenizer else "",
                    part.text_cleaning,
                )
                for part, files in zip(parts, written, strict=True)
            ),
        )
        source_sha256 = ModelFile.of(checkpoint).sha256
        for part, folder, files in zip(parts, folders, written, strict=True):
            Bundle(
                folder=folder,
                name=name + part.suffix,
                version="1",
                kind=part.kind,
                modalities=part.modalities,
                space=space,
                dimension=files.dimension,
                preprocessing=part.preprocessing,
                tokenizer=files.tokenizer,
                max_tokens=part.max_tokens,
                text_cleaning=part.text_cleaning,
                precisions={"fp32": files.model},
                licence=licence,
                gate={
                    "imported_from": checkpoint.name,
                    "source_sha256": source_sha256,
                    "fp32": {"least_cosine": files.least_cosine},
                },
            ).write(folder)
    return tuple(Bundle.load(out / (name + part.suffix)) for part in parts)


def _write_files(part: Part, folder: Path) -> _Files:
    path, inputs = folder / "model.onnx", _trial_inputs(part)
    write_onnx(part.network, inputs, _OUTPUTS, path)
    reference = torch_outputs(part.network, inputs)
    cosine = closeness(_OUTPUTS, reference, onnx_outputs(path, inputs, _OUTPUTS))["least_cosine"]
    if not cosine >= LEAST_COSINE:  # NaN, of damaged weights, fails too
        raise BundleError(f"The ONNX graph does not answer as torch does: a cosine of {cosine:.5f} is the least.")
    tokenizer = None
    if part.tokenizer_json:
        (folder / "tokenizer.json").write_text(part.tokenizer_json, encoding="utf-8")
        tokenizer = ModelFile.of(folder / "tokenizer.json")
    return _Files(ModelFile.of(path), tokenizer, reference[0].shape[1], round(cosine, 6))


def _trial_inputs(part: Part) -> Inputs:
    if part.preprocessing is not None:
        return {"image": trial_images(part.preprocessing.size)}
    tokenizer = Tokenizer.from_str(part.tokenizer_json)
    texts = [tokenizer.encode(text).ids for text in _TRIAL_TEXTS]
    lengths = [len(text) for text in texts]
    tokens = [text + [0] * (max(lengths) - len(text)) for text in texts]
    return {"tokens": np.asarray(tokens, dtype=np.int64), "lengths": np.asarray(lengths, dtype=np.int64)}
