"""Writes the two bundles of one network: a tower for pictures, a tower for sentences, and the space in which they meet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.modality import Modality
from encoders.bundle import Bundle, ModelFile, Preprocessing, TextCleaning, Tower, space_of
from training.gate import Gated

VERSION = "1"
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class PictureTower:
    """What passed the gate into `out`/`name`, and how its pictures are prepared."""

    name: str
    gated: Gated
    modalities: tuple[Modality, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class TextTower:
    """What passed the gate into `out`/`name`, where its tokenizer lies beside it."""

    name: str
    gated: Gated
    tokenizer: Path
    max_tokens: int
    text_cleaning: TextCleaning | None = None


def write_paired_bundles(
    out: Path, picture: PictureTower, text: TextTower, *, dimension: int, trained_on: str
) -> tuple[Bundle, Bundle]:
    """Describe both; the space is decided by both fp32 files, the preprocessing and the tokenizer."""
    tokenizer = ModelFile.of(text.tokenizer)
    space = space_of(
        dimension,
        Tower(picture.gated.precisions["fp32"].sha256, picture.preprocessing),
        Tower(
            text.gated.precisions["fp32"].sha256, tokenizer_sha256=tokenizer.sha256, text_cleaning=text.text_cleaning
        ),
    )

    def write(name: str, gated: Gated, **described: Any) -> Bundle:
        bundle = Bundle(
            folder=out / name,
            name=name,
            version=VERSION,
            space=space,
            dimension=dimension,
            precisions=gated.precisions,
            licence=LICENCE,
            trained_on=trained_on,
            gate=gated.figures,
            **described,
        )
        bundle.write(bundle.folder)
        return bundle

    return (
        write(
            picture.name,
            picture.gated,
            kind="image",
            modalities=picture.modalities,
            preprocessing=picture.preprocessing,
        ),
        write(
            text.name,
            text.gated,
            kind="text",
            modalities=("text",),
            tokenizer=tokenizer,
            max_tokens=text.max_tokens,
            text_cleaning=text.text_cleaning,
        ),
    )
