import numpy as np
import pytest

from training.text_sketch.modes import Embeddings, figures_of


def test_every_caption_counts() -> None:
    """Of three captions two find their photo first, whatever their number a photo."""
    axes = np.eye(3, dtype=np.float32)
    embeddings = Embeddings(
        photos=axes[:2],
        sketches=axes[:2],
        texts=axes[[0, 1, 1]],
        photo_of_text=np.array([0, 0, 1]),
        no_sketch=axes[2],
        no_text=axes[2],
    )

    figures = figures_of(embeddings)

    assert figures["text_r1"] == figures["text_placeholder_r1"] == pytest.approx(2 / 3)
    assert figures["sketch_r1"] == figures["sketch_placeholder_r1"] == 1
    assert len(embeddings.queries()["both"]) == 3
