"""Makes the general bundle of a checkpoint that passes the gate."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from encoders.bundle import Bundle, Preprocessing, Tower, space_of
from training.config import build
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.general.config import GeneralConfig
from training.general.network import EmbeddingNetwork
from training.general.validation import grocery_figures, leave_one_out, squashed
from training.loop import CHECKPOINT
from training.photos import PHOTOS, grocery_photos
from training.regate import regated

NAME = "general"
VERSION = "2"
LICENCE = "Apache-2.0"
DRAWN_WORLD = "scenes of Fovea's own drawn world (training/world)"
TEACHER = "taught by a MobileNetV2 of google-coral/test_data (Apache-2.0), whose weights are not contained"


def export(run: Path, realdata: Path, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Gate the run's averaged weights and write the bundle `out`/general."""
    checkpoint = torch.load(run / CHECKPOINT, weights_only=True)
    config = build(GeneralConfig, checkpoint["config"])
    network = EmbeddingNetwork(**asdict(config.network))
    network.load_state_dict(checkpoint["weights"])
    size_px = config.data.view_px
    epochs = config.content_stage.optimiser.epochs + checkpoint["epoch"]

    gated = gate(candidate(network, size_px, realdata), out / NAME, fewest_inputs=fewest_inputs)
    preprocessing = Preprocessing(size=(size_px, size_px))
    bundle = Bundle(
        folder=out / NAME,
        name=NAME,
        version=VERSION,
        kind="image",
        modalities=("image",),
        space=space_of(network.dimension, Tower(gated.precisions["fp32"].sha256, preprocessing)),
        dimension=network.dimension,
        preprocessing=preprocessing,
        precisions=gated.precisions,
        licence=LICENCE,
        attribution=f"{PHOTOS}; {TEACHER}",
        trained_on=f"{PHOTOS}; {DRAWN_WORLD}; {epochs} epochs in all, seed {config.seed}",
        gate=gated.figures,
    )
    bundle.write(bundle.folder)
    return bundle


def regate(out: Path, realdata: Path) -> Bundle:
    """Write the smaller precisions of the bundle `out`/general anew, from its fp32 file."""
    bundle = Bundle.load(out / NAME)
    size_px, _ = bundle.image_preprocessing.size
    return regated(bundle, candidate(bundle.path_of("fp32"), size_px, realdata))


def candidate(network: nn.Module | Path, size_px: int, realdata: Path) -> Candidate:
    """The network with photos as it is served them; its quality is how well those never trained on find one another."""
    validation, labels = squashed(grocery_photos(realdata / "grocery", "val"), size_px)
    others, _ = squashed(grocery_photos(realdata / "grocery", "train")[::10], size_px)

    def quality(outputs: Outputs) -> dict[str, float]:
        return grocery_figures(leave_one_out(outputs[0][: len(validation)], labels))

    return Candidate(
        network=network,
        inputs={"image": np.concatenate([validation, others])},
        outputs=("embedding",),
        quality=quality,
        # Shares of 1,014 colours, most of them near 0, need finer steps than one range of 256 has.
        float_parts=("/colour/",),
    )
