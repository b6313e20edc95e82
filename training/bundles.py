"""Owns the way from a finished run to its bundles: the checkpoint, and what the gate let pass, described."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from domain.modality import Modality
from encoders.bundle import Bundle, ModelFile, Preprocessing, TextCleaning, Tower, space_of
from training.config import build
from training.gate import FEWEST_INPUTS, Candidate, Gated, gate
from training.loop import CHECKPOINT

LICENCE = "Apache-2.0"

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class Finished(Generic[Config]):
    """A run's averaged weights, on the CPU, with the config and the epochs that made them."""

    config: Config
    weights: dict[str, Tensor]
    epochs: int

    @property
    def trained_on(self) -> str:
        """The data and the length of the run, for the bundle."""
        config: Any = self.config
        return f"{config.trained_on}; {self.epochs} epochs, seed {config.seed}"


def finished(run: Path, kind: type[Config]) -> Finished[Config]:
    """Read the checkpoint of a run."""
    checkpoint = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    return Finished(build(kind, checkpoint["config"]), checkpoint["weights"], checkpoint["epoch"])


def write_bundle(folder: Path, gated: Gated, *, version: str = "1", licence: str = LICENCE, **described: Any) -> Bundle:
    """Describe the files that the gate wrote to `folder`, which is called by the bundle's name."""
    bundle = Bundle(
        folder=folder,
        name=folder.name,
        version=version,
        precisions=gated.precisions,
        licence=licence,
        gate=gated.figures,
        **described,
    )
    bundle.write(folder)
    return bundle


def write_image_bundle(
    folder: Path, gated: Gated, preprocessing: Preprocessing, *, dimension: int, **described: Any
) -> Bundle:
    """Describe an encoder of images in a space of its own."""
    space = space_of(dimension, Tower(gated.precisions["fp32"].sha256, preprocessing))
    return write_bundle(
        folder,
        gated,
        kind="image",
        modalities=("image",),
        space=space,
        dimension=dimension,
        preprocessing=preprocessing,
        **described,
    )


@dataclass(frozen=True, slots=True)
class ImageTower:
    """What passed the gate into `folder`, and how its images are prepared."""

    folder: Path
    gated: Gated
    modalities: tuple[Modality, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class TextTower:
    """What passed the gate into `folder`, where its tokenizer lies beside it."""

    folder: Path
    gated: Gated
    tokenizer: Path
    max_tokens: int
    text_cleaning: TextCleaning | None = None


def write_paired_bundles(
    image: ImageTower, text: TextTower, *, dimension: int, trained_on: str
) -> tuple[Bundle, Bundle]:
    """Describe both; the space is decided by both fp32 files, the preprocessing and the tokenizer."""
    tokenizer = ModelFile.of(text.tokenizer)
    space = space_of(
        dimension,
        Tower(image.gated.precisions["fp32"].sha256, image.preprocessing),
        Tower(
            text.gated.precisions["fp32"].sha256, tokenizer_sha256=tokenizer.sha256, text_cleaning=text.text_cleaning
        ),
    )
    shared: dict[str, Any] = {"space": space, "dimension": dimension, "trained_on": trained_on}
    return (
        write_bundle(
            image.folder,
            image.gated,
            kind="image",
            modalities=image.modalities,
            preprocessing=image.preprocessing,
            **shared,
        ),
        write_bundle(
            text.folder,
            text.gated,
            kind="text",
            modalities=("text",),
            tokenizer=tokenizer,
            max_tokens=text.max_tokens,
            text_cleaning=text.text_cleaning,
            **shared,
        ),
    )


def regated(bundle: Bundle, candidate: Candidate, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Write the smaller precisions of a bundle anew whose checkpoint is lost, from its own fp32 file.

    That file stays as it is, and with it the space and how near it was to the network that it was exported from.
    """
    gated = gate(candidate, bundle.folder, fewest_inputs=fewest_inputs)
    fp32 = {**bundle.gate.get("fp32", {}), **gated.figures["fp32"]}
    described = replace(bundle, precisions=gated.precisions, gate={**gated.figures, "fp32": fp32})
    described.write(bundle.folder)
    return described
