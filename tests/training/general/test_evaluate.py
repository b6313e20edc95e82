from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoders.images.decoding import decode
from tests.support.realdata import write_small_realdata
from training.config import read_config
from training.general.config import GeneralConfig
from training.general.evaluate import GeneralEvaluation
from training.general.system import GeneralSystem
from training.general.validation import grocery_figures, leave_one_out
from training.runner import CONFIGS
from training.serving import Hit, Query, Served


def mean_colour(encoded: bytes) -> NDArray[np.float32]:
    colour = decode(encoded).pixels.mean(axis=(0, 1), dtype=np.float32) - np.float32(128)
    return np.asarray(colour / np.linalg.norm(colour), np.float32)


class ServedColours:
    """A running system whose encoder knows only an image's mean colour."""

    def __init__(self) -> None:
        self.held: dict[str, NDArray[np.float32]] = {}

    def fill(self, collection: str, images: Iterable[tuple[str, bytes]], *, encoder: str, detector: str) -> None:
        """Ingest."""
        assert (collection, encoder) == ("general", "general-2")
        self.held = {uri: mean_colour(encoded) for uri, encoded in images}

    def search(self, collection: str, queries: Sequence[Query], *, limit: int) -> list[list[Hit]]:
        """Answer exactly."""
        assert collection == "general"
        answers = []
        for query in queries:
            asked = mean_colour(query.image)
            found = [Hit(uri, float(asked @ embedding)) for uri, embedding in self.held.items()]
            answers.append(sorted(found, key=lambda hit: -hit.score)[:limit])
        return answers


@pytest.fixture
def split(tmp_path: Path) -> GeneralEvaluation:
    """Eight photos."""
    system, config = GeneralSystem(), read_config(CONFIGS / "general.toml", GeneralConfig)
    system.draw_held_out(config, tmp_path / "data", write_small_realdata(tmp_path / "realdata"))
    return system.evaluation(config, tmp_path / "data")


def test_what_is_served_is_measured_as_what_is_in_this_process(split: GeneralEvaluation) -> None:
    """The figures of the hits are those of the embeddings: each photo looks for the others, not for itself."""
    embeddings = np.stack([mean_colour(photo.path.read_bytes()) for photo in split.photos])
    expected = grocery_figures(leave_one_out(embeddings, [photo.fine for photo in split.photos]))

    assert split.online(cast("Served", ServedColours())) == pytest.approx(expected)


def test_a_sheet_shows_queries_with_their_hits(split: GeneralEvaluation, tmp_path: Path) -> None:
    """A JPEG as wide as a page."""
    colours = cast("Served", ServedColours())
    split.online(colours)
    split.draw_sheet(colours, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as drawn:
        assert (drawn.format, drawn.width) == ("JPEG", 1200)
