"""The pedestrian bundles that ship, through the code that serves them."""

from pathlib import Path

import pytest

from encoders.bundle import Bundle
from encoders.serving.text import Tokenizer
from training.datasets.pedestrians import load_pedestrians
from training.pedestrians.draw import HELD_OUT_ALBUM
from training.pedestrians.evaluate import PedestriansEvaluation
from training.pedestrians.export import IMAGE, TEXT
from world.pedestrian_album import Split, write_pedestrians

MODELS = Path(__file__).parents[3] / "models"


def test_bundles_ship_whole() -> None:
    """One space, the sizes that a checkout can bear, and gates passed on a thousand images and more."""
    image, text = Bundle.load(MODELS / IMAGE), Bundle.load(MODELS / TEXT)

    assert image.space == text.space
    assert image.path_of("fp32").stat().st_size <= 3_300_000
    assert text.path_of("fp32").stat().st_size <= 2_000_000
    assert image.licence
    assert "none of them a real person" in image.trained_on
    assert min(bundle.gate["inputs"] for bundle in (image, text)) >= 1000


def test_captions_find_people_never_trained_on(tmp_path: Path) -> None:
    """Among 240 images of the first 60 held-out people, most captions find their person first."""
    write_pedestrians(tmp_path, (Split("test", HELD_OUT_ALBUM, 60, 4, first_id=1),))

    figures = PedestriansEvaluation(load_pedestrians(tmp_path)).offline(MODELS)

    assert figures["r1"] >= 0.70
    assert figures["r10"] >= 0.93
    assert figures["image_r1"] >= 0.70


@pytest.mark.parametrize(
    "sentence", ["a woman in a red coat", "Someone with a BLUE back-pack", "striped t shirt, jeans"]
)
def test_words_of_users_are_read(sentence: str) -> None:
    """A sentence that nobody drew has few unknown words."""
    tokenizer = Tokenizer(Bundle.load(MODELS / TEXT))
    tokens = tokenizer.encode(sentence)
    assert len(tokens.ids) == len(sentence.replace("-", "").split())
    unknown = [warning.removeprefix("unknown words: ").split(", ") for warning in tokens.warnings]
    assert sum(map(len, unknown)) <= 2
