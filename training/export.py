"""Writes a bundle from a checkpoint, but only where ONNX and torch agree on real pictures.

python -m training.export general  [--run data/training/general]  [--out models/general]
python -m training.export detector [--run data/training/detector] [--out models/detector]
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from encoders.bundle import Bundle, ModelFile, Preprocessing, Tower, space_of
from training.average_precision import mean_average_precision
from training.config import build
from training.general.network import EmbeddingNetwork
from training.general.train import GeneralConfig, leave_one_out, squashed
from training.objects.train import DetectorConfig, build_network, found_in, held_out_scenes
from training.photos import grocery_photos
from training.world.kinds import LABELS

VERSION = "1"
LEAST_COSINE = 0.999
MOST_BOX_DIFFERENCE = 0.002  # of the picture's side: half a pixel of the network's input
MOST_SCORE_DIFFERENCE = 0.01

LICENCE = "Apache-2.0"
PHOTOS = (
    "GroceryStoreDataset by Marcus Klasson (MIT), the 2,640 photos of its training split; "
    "clothing-dataset-small by Alexey Grigorev (CC0), its 3,068 training photos"
)
DRAWN_WORLD = "scenes of Fovea's own drawn world (training/world)"
TEACHER = "taught by a MobileNetV2 of google-coral/test_data (Apache-2.0), whose weights are not contained"

Outputs = list[NDArray[np.float32]]


class GateError(Exception):
    """The exported graph does not say what the trained network says, so no bundle is written."""


def write_onnx(network: nn.Module, size_px: int, outputs: Sequence[str], path: Path) -> None:
    """Export to ONNX with a free batch size; weights are inside the one file."""
    picture = torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings(action="ignore"):
        # The tracing exporter: the networks have no control flow, and the other one needs more packages.
        torch.onnx.export(
            network.eval(),
            (picture,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "N"} for name in ("image", *outputs)},
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def run_both(network: nn.Module, path: Path, pictures: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
    """What torch and what ONNX Runtime say of uint8 pictures (N, S, S, 3), output by output."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    torch_parts, onnx_parts = [], []
    for part in np.array_split(pictures, max(1, len(pictures) // 25)):
        with torch.inference_mode():
            answer = network(torch.from_numpy(part))
        torch_parts.append([output.numpy() for output in (answer if isinstance(answer, tuple) else (answer,))])
        onnx_parts.append(session.run(None, {"image": part}))
    return _joined(torch_parts), _joined(onnx_parts)


def _joined(parts: Sequence[Sequence[NDArray[np.float32]]]) -> Outputs:
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def agreement(reference: NDArray[np.float32], exported: NDArray[np.float32]) -> float:
    """The least cosine of unit embeddings (N, D) pair by pair; `GateError` where it is too small."""
    cosine = float((reference * exported).sum(axis=1).min())
    if not cosine >= LEAST_COSINE:  # NaN fails too
        raise GateError(f"an exported embedding has a cosine of {cosine:.5f} to torch's; {LEAST_COSINE} is the least.")
    return cosine


def differences(reference: Outputs, exported: Outputs) -> tuple[float, float]:
    """By how much boxes and scores differ at most; `GateError` where that is too much."""
    boxes, scores = (float(np.abs(a - b).max()) for a, b in zip(reference, exported, strict=True))
    if not (boxes <= MOST_BOX_DIFFERENCE and scores <= MOST_SCORE_DIFFERENCE):
        raise GateError(f"exported boxes differ by {boxes:.4f} and scores by {scores:.4f} from torch's: too much.")
    return boxes, scores


def export_general(run: Path, realdata: Path, out: Path) -> Bundle:
    """Gate and write the image bundle."""
    checkpoint = _read_checkpoint(run)
    config = build(GeneralConfig, checkpoint["config"])
    network = EmbeddingNetwork(**asdict(config.network))
    network.load_state_dict(checkpoint["weights"])
    size_px = config.data.view_px

    validation, labels = squashed(grocery_photos(realdata / "grocery", "val"), size_px)
    others, _ = squashed(grocery_photos(realdata / "grocery", "train")[::10], size_px)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        write_onnx(network, size_px, ["embedding"], path)
        (reference,), (exported,) = run_both(network, path, np.concatenate([validation, others]))
        cosine = agreement(reference, exported)
        figures = leave_one_out(exported[: len(validation)], labels)
        preprocessing = Preprocessing(size=(size_px, size_px))
        model = _keep(path, out)
    dimension = config.network.content_dimension + config.network.colour_dimension
    bundle = Bundle(
        folder=out,
        name="general",
        version=VERSION,
        kind="image",
        modalities=("image",),
        space=space_of(dimension, Tower(model_sha256=model.sha256, preprocessing=preprocessing)),
        dimension=dimension,
        preprocessing=preprocessing,
        precisions={"fp32": model},
        licence=LICENCE,
        attribution=f"{PHOTOS}; {TEACHER}",
        trained_on=f"{PHOTOS}; {DRAWN_WORLD}; {checkpoint['epoch']} epochs in all, seed {config.seed}",
        gate={
            "inputs": len(reference),
            "fp32": {
                "least_cosine": round(cosine, 6),
                "grocery_val_p_at_1": round(figures.recall(1), 4),
                "grocery_val_r_at_5": round(figures.recall(5), 4),
                "grocery_val_map": round(float(figures.ap.mean()), 4),
            },
        },
    )
    bundle.write(out)
    return bundle


def export_detector(run: Path, realdata: Path, out: Path) -> Bundle:
    """Gate and write the detector bundle."""
    checkpoint = _read_checkpoint(run)
    config = build(DetectorConfig, checkpoint["config"])
    network = build_network(config)
    network.load_state_dict(checkpoint["weights"])
    size_px = config.data.size_px

    scenes = held_out_scenes(config.data)
    photos, _ = squashed(grocery_photos(realdata / "grocery", "val"), size_px)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        write_onnx(network, size_px, ["boxes", "scores"], path)
        reference, exported = run_both(network, path, np.concatenate([scenes.pixels, photos]))
        boxes_off, scores_off = differences(reference, exported)
        boxes, scores = (output[: len(scenes.pixels)] for output in exported)
        found = [found_in(*pair, size_px=size_px) for pair in zip(boxes, scores, strict=True)]
        figure = mean_average_precision(found, scenes.truths)
        # No photo of groceries shows any of the kinds, so whatever is found there is wrong.
        strong = float((exported[1][len(scenes.pixels) :].max(axis=(1, 2)) >= 0.5).mean())
        model = _keep(path, out)
    bundle = Bundle(
        folder=out,
        name="detector",
        version=VERSION,
        kind="detector",
        modalities=("image",),
        preprocessing=Preprocessing(size=(size_px, size_px)),
        precisions={"fp32": model},
        labels=LABELS,
        licence=LICENCE,
        attribution=f"backgrounds: {PHOTOS}",
        trained_on=f"{DRAWN_WORLD}, some of them only objects over photos; {checkpoint['epoch']} epochs, seed {config.seed}",
        gate={
            "inputs": len(reference[0]),
            "fp32": {
                "largest_box_difference": round(boxes_off, 6),
                "largest_score_difference": round(scores_off, 6),
                "held_out_map50": round(figure, 4),
                "photos_with_false_alarm": round(strong, 4),
            },
        },
    )
    bundle.write(out)
    return bundle


def _read_checkpoint(run: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return checkpoint


def _keep(path: Path, out: Path) -> ModelFile:
    """Move the gated model to its bundle."""
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "model.onnx"
    kept.write_bytes(path.read_bytes())
    return ModelFile.of(kept)


EXPORTS: dict[str, Callable[[Path, Path, Path], Bundle]] = {"general": export_general, "detector": export_detector}


def main() -> None:
    """Export one bundle and print its gate's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", choices=sorted(EXPORTS))
    parser.add_argument("--run", type=Path, help="folder of the training run; default data/training/<bundle>")
    parser.add_argument("--realdata", type=Path, default=Path("../shared/realdata"))
    parser.add_argument("--out", type=Path, help="the bundle's folder; default models/<bundle>")
    options = parser.parse_args()
    bundle = EXPORTS[options.bundle](
        options.run or Path("data/training") / options.bundle,
        options.realdata,
        options.out or Path("models") / options.bundle,
    )
    print(f"{bundle.folder}: {dict(bundle.gate)}")


if __name__ == "__main__":
    main()
