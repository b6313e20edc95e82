"""Makes the general bundle of a checkpoint that passes the gate."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from encoders.bundle import Bundle, Preprocessing
from training.bundles import finished, regated, write_image_bundle
from training.gate import FEWEST_INPUTS, Candidate, gate
from training.general.config import GeneralConfig
from training.general.network import EmbeddingNetwork
from training.general.validation import grocery_figures, leave_one_out, squashed
from training.models.served import Outputs
from training.photos import PHOTOS, grocery_photos

NAME = "general-2"
VERSION = "2"
DRAWN_WORLD = "scenes of Fovea's own drawn world (world/)"
TEACHER = "taught by a MobileNetV2 of google-coral/test_data (Apache-2.0), whose weights are not contained"


def export(run: Path, realdata: Path, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Gate the run's averaged weights and write the bundle `out`/general-2."""
    trained = finished(run, GeneralConfig)
    config, size_px = trained.config, trained.config.data.view_px
    network = EmbeddingNetwork(**asdict(config.network))
    network.load_state_dict(trained.weights)
    epochs = config.content_stage.optimiser.epochs + trained.epochs

    gated = gate(candidate(network, size_px, realdata), out / NAME, fewest_inputs=fewest_inputs)
    return write_image_bundle(
        out / NAME,
        gated,
        Preprocessing(size=(size_px, size_px)),
        dimension=network.dimension,
        version=VERSION,
        attribution=f"{PHOTOS}; {TEACHER}",
        trained_on=f"{PHOTOS}; {DRAWN_WORLD}; {epochs} epochs in all, seed {config.seed}",
    )


def regate(out: Path, realdata: Path) -> Bundle:
    """Write the smaller precisions of the bundle `out`/general-2 anew, from its fp32 file."""
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
