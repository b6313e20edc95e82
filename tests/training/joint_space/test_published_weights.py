"""The published networks that the joint space is made of, as this package reads them, on real photos and sentences."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from training.config import read_config
from training.joint_space.colours import UsualColours
from training.joint_space.config import JointSpaceConfig
from training.joint_space.graphs import Parts, write_text_tower
from training.joint_space.image_tower import Backbones, Fitted
from training.joint_space.labels import PROMPT, LabelEmbeddings, OwnClass, embed_labels
from training.joint_space.own_classes import OwnClassifier
from training.joint_space.sentences import SentenceEncoder
from training.joint_space.text_tower import PREFIX
from training.joint_space.weights import Weights, WeightsError, find_weights, lines
from training.models.efficientnet_lite import load_lite2
from training.runner import CONFIGS, REALDATA

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not REALDATA.exists(), reason="../shared/realdata is not there"),
]
SENTENCES = ["a photo of a dog", "two red apples on a wooden table", "snow", "Ein Hund läuft über die Wiese."]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return find_weights(REALDATA)


@pytest.fixture(scope="module")
def labels(weights: Weights) -> LabelEmbeddings:
    own = [OwnClass("grocery/0", ("Golden Delicious", "Apple"), "A yellow apple.")]
    return embed_labels(weights, own, SentenceEncoder(weights), dimension=256)


@pytest.mark.parametrize(
    ("photo", "expected"),
    [("cat_720p.jpg", "Egyptian cat"), ("dragonfly.jpg", "dragonfly"), ("hot_dog.jpg", "hotdog")],
)
def test_the_classifier_names_photos(weights: Weights, photo: str, expected: str) -> None:
    """Weights, padding, scaling and the order of the labels belong together."""
    image = Image.open(REALDATA / "demo" / photo).convert("RGB").resize((320, 320), Image.Resampling.BILINEAR)
    backbones = Backbones(load_lite2(weights.classifier), 320).eval()
    with torch.inference_mode():
        _, _, logits, _ = backbones(torch.from_numpy(np.asarray(image).copy())[None])

    names = lines(weights.classifier_labels)[1:]
    assert expected in names[int(logits.argmax())]


def test_a_word_is_nearest_to_its_label(weights: Weights, labels: LabelEmbeddings) -> None:
    """The projection keeps what labels mean: words find their own label, and their kin, among a thousand."""
    names = lines(weights.classifier_labels)[1:]
    asked = ["daisy", "school bus", "espresso", "zebra"]
    embeddings = labels.project(SentenceEncoder(weights).embed([PROMPT.format(name) for name in asked]))

    found = [names[row] for row in (embeddings @ labels.classifier.T).argmax(axis=1)]

    assert found == asked


def test_the_text_tower_says_what_the_sentence_encoder_says(
    weights: Weights, labels: LabelEmbeddings, tmp_path: Path
) -> None:
    """The joined graph embeds a padded batch as the encoder embeds each sentence, without looks."""
    config = read_config(CONFIGS / "joint_space.toml", JointSpaceConfig)
    nothing = np.zeros((1, 1), np.float32)
    fitted = Fitted(nothing, nothing, labels, OwnClassifier(nothing, nothing, nothing), UsualColours(nothing, nothing))
    backbones = Backbones(load_lite2(weights.classifier), config.image_px)
    path = tmp_path / "text.onnx"
    write_text_tower(config, Parts(weights, backbones, None, fitted), path)  # type: ignore[arg-type]  # images are not read
    encoder = SentenceEncoder(weights)
    tokens, lengths = _tokens(weights, SENTENCES)

    (found,) = onnxruntime.InferenceSession(path).run(["embedding"], {"tokens": tokens, "lengths": lengths})

    looks, colours = config.looks_dimension, config.looks_dimension + config.meaning.dimension
    expected = labels.project(np.concatenate([encoder.embed([f"{PREFIX} {sentence}"]) for sentence in SENTENCES]))
    meaning = found[:, looks:colours]
    assert not found[:, :looks].any()
    assert np.abs(meaning / np.linalg.norm(meaning, axis=1, keepdims=True) - expected).max() < 1e-4
    assert [bool(row.any()) for row in found[:, colours:]] == ["red" in sentence for sentence in SENTENCES]


def test_missing_weights_are_named(tmp_path: Path) -> None:
    """Without the folder of weights one line says which file is missing."""
    with pytest.raises(WeightsError, match="is missing"):
        find_weights(tmp_path)


def _tokens(weights: Weights, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    tokenizer = Tokenizer.from_file(str(weights.tokenizer))
    tokenizer.no_padding()
    encoded = [tokenizer.encode(sentence).ids for sentence in sentences]
    lengths = np.array([len(ids) for ids in encoded], np.int64)
    tokens = np.zeros((len(encoded), lengths.max()), np.int64)
    for row, ids in zip(tokens, encoded, strict=True):
        row[: len(ids)] = ids
    return tokens, lengths
