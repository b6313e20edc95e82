from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoders.images.decoding import decode
from tests.support.realdata import write_small_realdata
from training.general.evaluate import online, prepare, sheet
from training.general.validation import grocery_figures, leave_one_out
from training.photos import grocery_photos
from training.serving import Found, Query, Served


def mean_colour(encoded: bytes) -> NDArray[np.float32]:
    colour = decode(encoded).pixels.mean(axis=(0, 1), dtype=np.float32) - np.float32(128)
    return np.asarray(colour / np.linalg.norm(colour), np.float32)


class ServedColours:
    """A running system whose encoder knows only a picture's mean colour."""

    def __init__(self) -> None:
        self.held: dict[str, NDArray[np.float32]] = {}

    def fill(self, collection: str, pictures: Iterable[tuple[str, bytes]], *, encoder: str) -> None:
        """Ingest."""
        assert collection == encoder == "general"
        self.held = {uri: mean_colour(encoded) for uri, encoded in pictures}

    def search(self, collection: str, queries: Sequence[Query], *, limit: int) -> list[list[Found]]:
        """Answer exactly."""
        assert collection == "general"
        answers = []
        for query in queries:
            asked = mean_colour(query.image)
            found = [Found(uri, float(asked @ embedding)) for uri, embedding in self.held.items()]
            answers.append(sorted(found, key=lambda hit: -hit.score)[:limit])
        return answers


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepare(tmp_path / "data", write_small_realdata(tmp_path / "realdata"))
    return tmp_path / "data"


def test_what_is_served_is_measured_as_what_is_in_this_process(data: Path) -> None:
    """The figures of the hits are those of the embeddings: each photo looks for the others, not for itself."""
    photos = grocery_photos(data / "grocery", "val")
    embeddings = np.stack([mean_colour(photo.path.read_bytes()) for photo in photos])
    expected = grocery_figures(leave_one_out(embeddings, [photo.fine for photo in photos]))

    assert online(cast("Served", ServedColours()), data) == pytest.approx(expected)


def test_a_sheet_shows_queries_with_their_hits(data: Path, tmp_path: Path) -> None:
    """A JPEG as wide as a page."""
    colours = cast("Served", ServedColours())
    online(colours, data)
    sheet(colours, data, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as drawn:
        assert (drawn.format, drawn.width) == ("JPEG", 1200)
