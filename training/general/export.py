"""Makes the general bundle of a checkpoint that passes the gate."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from encoders.bundle import Bundle, Preprocessing, Tower, space_of
from training.config import build
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.general.network import EmbeddingNetwork
from training.general.train import GeneralConfig, leave_one_out, squashed
from training.loop import CHECKPOINT
from training.photos import PHOTOS, grocery_photos
from training.regate import regated

VERSION = "1"
LICENCE = "Apache-2.0"
DRAWN_WORLD = "scenes of Fovea's own drawn world (training/world)"
TEACHER = "taught by a MobileNetV2 of google-coral/test_data (Apache-2.0), whose weights are not contained"


def export(run: Path, realdata: Path, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Gate the run's averaged weights and write the bundle to `out`."""
    checkpoint = torch.load(run / CHECKPOINT, weights_only=True)
    config = build(GeneralConfig, checkpoint["config"])
    network = EmbeddingNetwork(**asdict(config.network))
    network.load_state_dict(checkpoint["weights"])
    size_px = config.data.view_px

    gated = gate(candidate(network, size_px, realdata), out, fewest_inputs=fewest_inputs)
    preprocessing = Preprocessing(size=(size_px, size_px))
    dimension = config.network.content_dimension + config.network.colour_dimension
    bundle = Bundle(
        folder=out,
        name="general",
        version=VERSION,
        kind="image",
        modalities=("image",),
        space=space_of(dimension, Tower(gated.precisions["fp32"].sha256, preprocessing)),
        dimension=dimension,
        preprocessing=preprocessing,
        precisions=gated.precisions,
        licence=LICENCE,
        attribution=f"{PHOTOS}; {TEACHER}",
        trained_on=f"{PHOTOS}; {DRAWN_WORLD}; {checkpoint['epoch']} epochs in all, seed {config.seed}",
        gate=gated.figures,
    )
    bundle.write(out)
    return bundle


def regate(folder: Path, realdata: Path) -> Bundle:
    """Write the smaller precisions of a bundle anew, from its fp32 file."""
    bundle = Bundle.load(folder)
    size_px, _ = bundle.picture_preprocessing.size
    return regated(bundle, candidate(bundle.path_of("fp32"), size_px, realdata))


def candidate(network: nn.Module | Path, size_px: int, realdata: Path) -> Candidate:
    """The network with photos as it is served them; its quality is how well those never trained on find one another."""
    validation, labels = squashed(grocery_photos(realdata / "grocery", "val"), size_px)
    others, _ = squashed(grocery_photos(realdata / "grocery", "train")[::10], size_px)

    def quality(outputs: Outputs) -> dict[str, float]:
        figures = leave_one_out(outputs[0][: len(validation)], labels)
        return {
            "grocery_val_p_at_1": figures.recall(1),
            "grocery_val_r_at_5": figures.recall(5),
            "grocery_val_map": float(figures.ap.mean()),
        }

    return Candidate(
        network=network,
        inputs={"image": np.concatenate([validation, others])},
        outputs=("embedding",),
        quality=quality,
        # Shares of 512 colours, most of them near 0, need finer steps than one range of 256 has.
        float_parts=("/colour/",),
    )
