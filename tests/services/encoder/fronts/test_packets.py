"""What one process packs another one reads."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.bundle import Bundle
from encoders.serving.session import RawDetections
from services.encoder.fronts.contents import answer_of, arrays_of
from services.encoder.fronts.packets import (
    MAX_BYTES,
    MOST_RECORDS,
    Ended,
    Ending,
    Record,
    Submitted,
    Withdrawn,
    packet,
    records,
)
from services.encoder.fronts.slots import RawBytes
from tests.support.bundles import DETECTOR_LABELS, tiny_detector_bundle, tiny_image_bundle

SLOT = st.integers(0, 2**32 - 1)
SECONDS = st.floats(0, 1e6, width=32)
ENDED = st.builds(Ended, SLOT, SLOT, st.sampled_from(Ending), SECONDS, SECONDS, st.integers(0, 256))
KINDS = (st.builds(Submitted, SLOT, SLOT, st.floats(0, 1e9)), st.builds(Withdrawn, SLOT), ENDED)


@given(st.one_of(*(st.lists(kind, min_size=1, max_size=20) for kind in KINDS)))
def test_records_are_read_as_they_were_packed(sent: list[Record]) -> None:
    """Every field of every record, in order."""
    assert list(records(packet(sent))) == sent


def test_the_largest_packet_is_read_in_one_go() -> None:
    """A receiver's room is enough for the most records."""
    assert len(packet([Ended(1, 2, Ending.ANSWERED, 0.5, 0.25, 8)] * MOST_RECORDS)) < MAX_BYTES


@pytest.fixture
def detector(tmp_path: Path) -> Bundle:
    return tiny_detector_bundle(tmp_path)


def _raw(*arrays: np.ndarray) -> RawBytes:
    return np.concatenate([array.reshape(-1).view(np.uint8) for array in arrays])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_embedding_comes_back_as_it_was(tmp_path: Path, dtype: type) -> None:
    """In single precision, and in memory of its own."""
    bundle = tiny_image_bundle(tmp_path)
    embedding: np.ndarray = np.linspace(-1, 1, 16).astype(dtype)

    answer = answer_of(bundle, _raw(*arrays_of(embedding)))

    assert isinstance(answer, np.ndarray)
    assert answer.dtype == np.float32
    assert np.array_equal(answer, embedding)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_detections_come_back_as_they_were(detector: Bundle, rows: int) -> None:
    """Also where there are none."""
    random = np.random.default_rng(rows)
    raw = RawDetections(random.random((rows, 4), np.float32), random.random((rows, len(DETECTOR_LABELS)), np.float32))

    answer = answer_of(detector, _raw(*arrays_of(raw)))

    assert isinstance(answer, RawDetections)
    assert np.array_equal(answer.boxes, raw.boxes)
    assert np.array_equal(answer.scores, raw.scores)
