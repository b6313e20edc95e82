"""Measures the bundles of the joint space in this process, by the code that serves them, on photos never learnt from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.serving.text import Tokenizer
from training.embed import embed
from training.joint_space.domains import Domain
from training.joint_space.export import IMAGE, TEXT
from training.joint_space.fitting import squashed
from training.joint_space.sentences import unit

MOBILENET_PX = 224

Rows = NDArray[np.float32]


def offline(models: Path, domains: Sequence[Domain]) -> dict[str, float]:
    """Likeness and words of every domain, 0..1."""
    image, text = Bundle.load(models / IMAGE), Bundle.load(models / TEXT)
    tokenizer, (size_px, _) = Tokenizer(text), image.image_preprocessing.size
    figures: dict[str, float] = {}
    for domain in domains:
        photos = np.concatenate([embed(image, list(pixels)) for pixels in squashed(domain.paths, size_px)])
        sentences = {
            name: embed(text, [tokenizer.encode(sentence).ids for sentence in meant])
            for name, meant in domain.sentences.items()
        }
        figures |= domain.likeness(photos) | domain.words(photos, sentences)
    return figures


def compared(realdata: Path, domains: Sequence[Domain]) -> dict[str, float]:
    """What is to be beaten: the likeness that MobileNetV2 (ImageNet) sees, and that a random order would have."""
    session = onnxruntime.InferenceSession(realdata / "bundles" / "mobilenet_v2_imagenet.onnx")
    rng = np.random.default_rng(0)
    figures: dict[str, float] = {}
    for domain in domains:
        batches = [
            session.run(
                ["embedding"], {"image": (pixels.transpose(0, 3, 1, 2) - np.float32(127.5)) / np.float32(127.5)}
            )
            for pixels in squashed(domain.paths, MOBILENET_PX)
        ]
        embeddings = unit(np.concatenate([batch[0] for batch in batches]))
        random = unit(rng.standard_normal((len(domain.paths), 64)))
        figures |= {f"mobilenet_{name}": share for name, share in domain.likeness(embeddings).items()}
        figures |= {f"random_{name}": share for name, share in domain.likeness(random).items()}
    return figures
