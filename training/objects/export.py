"""Makes the detector's bundle of a checkpoint that passes the gate."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from encoders.bundle import Bundle, Preprocessing
from training.average_precision import mean_average_precision
from training.config import build
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.general.train import squashed
from training.loop import CHECKPOINT
from training.objects.scenes import Scenes
from training.objects.train import DetectorConfig, build_network, found_in, held_out_scenes
from training.photos import PHOTOS, grocery_photos
from training.regate import regated
from training.world.kinds import LABELS

VERSION = "1"
LICENCE = "Apache-2.0"
DRAWN_WORLD = "scenes of Fovea's own drawn world (training/world)"
# How many held-out scenes the shipped bundle is measured on, where no checkpoint's config tells.
HELD_OUT = 100


def export(run: Path, realdata: Path, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Gate the run's averaged weights and write the bundle to `out`."""
    checkpoint = torch.load(run / CHECKPOINT, weights_only=True)
    config = build(DetectorConfig, checkpoint["config"])
    network = build_network(config)
    network.load_state_dict(checkpoint["weights"])
    size_px = config.data.size_px

    scenes = held_out_scenes(config.data.held_out, size_px)
    gated = gate(candidate(network, scenes, realdata), out, fewest_inputs=fewest_inputs)
    bundle = Bundle(
        folder=out,
        name="detector",
        version=VERSION,
        kind="detector",
        modalities=("image",),
        preprocessing=Preprocessing(size=(size_px, size_px)),
        precisions=gated.precisions,
        labels=LABELS,
        licence=LICENCE,
        attribution=f"backgrounds: {PHOTOS}",
        trained_on=f"{DRAWN_WORLD}, some of them only objects over photos; {checkpoint['epoch']} epochs, seed {config.seed}",
        gate=gated.figures,
    )
    bundle.write(out)
    return bundle


def regate(folder: Path, realdata: Path) -> Bundle:
    """Write the smaller precisions of a bundle anew, from its fp32 file."""
    bundle = Bundle.load(folder)
    size_px, _ = bundle.picture_preprocessing.size
    return regated(bundle, candidate(bundle.path_of("fp32"), held_out_scenes(HELD_OUT, size_px), realdata))


def candidate(network: nn.Module | Path, scenes: Scenes, realdata: Path) -> Candidate:
    """The network with held-out scenes and photos; its quality is what it finds in the former, not in the latter."""
    size_px = scenes.pixels.shape[1]
    validation, _ = squashed(grocery_photos(realdata / "grocery", "val"), size_px)
    others, _ = squashed(grocery_photos(realdata / "grocery", "train")[::10], size_px)
    first_photo, end_of_photos = len(scenes.pixels), len(scenes.pixels) + len(validation)

    def quality(outputs: Outputs) -> dict[str, float]:
        boxes, scores = (output[:first_photo] for output in outputs)
        found = [found_in(*pair, size_px=size_px) for pair in zip(boxes, scores, strict=True)]
        # No photo of groceries shows any of the kinds, so whatever is found there is wrong.
        strongest = outputs[1][first_photo:end_of_photos].max(axis=(1, 2))
        return {
            "held_out_map50": mean_average_precision(found, scenes.truths),
            "photos_without_false_alarm": float((strongest < 0.5).mean()),
        }

    return Candidate(
        network=network,
        inputs={"image": np.concatenate([scenes.pixels, validation, others])},
        outputs=("boxes", "scores"),
        quality=quality,
    )
