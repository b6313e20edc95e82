"""One bundle's encoder: what is decoded, how often, and what a failure touches."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.errors import InvalidContent
from encoders.providers import SessionOptions
from encoders.session import Embedding, EmbeddingSession
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Internal
from services.encoder.batcher import Batcher
from services.encoder.call import Call
from services.encoder.decoders import Decoders
from services.encoder.encoder import Encoder
from services.encoder.reading import Content, PictureReader, Readable
from tests.support.bundles import PREPROCESSING, tiny_image_bundle
from tests.support.pictures import corners, encoded, plain

MEMORY_BYTES = 64 << 20


class CountingReader(PictureReader):
    """A real reader that remembers what it read and breaks over one picture."""

    def __init__(self, decoders: Decoders) -> None:
        super().__init__(PREPROCESSING, decoders)
        self.read_contents: list[int] = []
        self.breaks_over = b""

    def read(self, contents: Sequence[Content], call: Call[Any]) -> list[Readable | InvalidContent]:
        """Reads, remembers, breaks."""
        if contents[0].data == self.breaks_over:
            raise KeyError("a bug")
        self.read_contents.append(len(contents))
        return super().read(contents, call)


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    made = Decoders(2, MEMORY_BYTES)
    yield made
    made.close()


@pytest.fixture
def reader(decoders: Decoders) -> CountingReader:
    return CountingReader(decoders)


@pytest.fixture
def batcher(tmp_path: Path) -> Iterator[Batcher[Embedding]]:
    session = EmbeddingSession(tiny_image_bundle(tmp_path), SessionOptions(provider="cpu", max_batch=4))
    session.warm_up()
    made = Batcher(session, queue_limit=64)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def encoder(tmp_path: Path, batcher: Batcher[Embedding], reader: CountingReader, decoders: Decoders) -> Encoder:
    session = EmbeddingSession(tiny_image_bundle(tmp_path), SessionOptions(provider="cpu"))
    return Encoder(session, batcher, reader, decoders)


def call_of(contents: Sequence[Content], within_s: float = 20) -> Call[Embedding]:
    """A call as long as its contents."""
    return Call(len(contents), Deadline.after(within_s))


def test_a_picture_is_decoded_once_for_all_its_regions(encoder: Encoder, reader: CountingReader) -> None:
    """Regions of equal bytes share one decode, and each keeps its own place and error."""
    picture, other = encoded(corners()), encoded(plain("red"))
    contents = [
        Content("image", picture, (0, 0, 0.5, 0.5)),
        Content("image", other),
        Content("image", picture, (0.5, 0, 1, 0.5)),
        Content("image", picture, (1, 0, 0, 1)),
        Content("image", other),
    ]

    outcomes = encoder.encode(contents, call_of(contents))

    assert sorted(reader.read_contents) == [2, 3]
    assert isinstance(outcomes[3], InvalidContent)
    red, whole, green, again = (outcome for outcome in outcomes if isinstance(outcome, np.ndarray))
    assert np.allclose(red, whole, atol=1e-5)
    assert np.allclose(again, whole, atol=1e-6)
    assert green @ whole < 0.9


def test_a_bug_in_reading_is_internal_and_leaves_no_trace(encoder: Encoder, reader: CountingReader) -> None:
    """A fault of ours ends the call without internals; its places are free and the next call works."""
    reader.breaks_over = encoded(plain("blue"))
    contents = [Content("image", encoded(plain("red"))), Content("image", reader.breaks_over)]

    for _ in range(40):
        with pytest.raises(Internal, match="log says why"):
            encoder.encode(contents, call_of(contents))

    reader.breaks_over = b""
    assert len(encoder.encode(contents, call_of(contents))) == 2


def test_waiting_for_a_decoder_ends_with_the_deadline(encoder: Encoder, decoders: Decoders) -> None:
    """When all decoders are taken the deadline still holds."""
    contents = [Content("image", encoded(plain("red")))]
    with (
        decoders.permit(Deadline.after(20)),
        decoders.permit(Deadline.after(20)),
        pytest.raises(DeadlineExceeded, match="decoded"),
    ):
        encoder.encode(contents, call_of(contents, within_s=0.05))

    assert len(encoder.encode(contents, call_of(contents))) == 1


def test_a_caller_that_leaves_frees_its_decoder(encoder: Encoder, decoders: Decoders) -> None:
    """While an image waits for memory its caller leaves: the wait ends at once, and the next call is served."""
    contents = [Content("image", encoded(plain("red")))]
    call = call_of(contents)

    with decoders.memory(MEMORY_BYTES, Deadline.after(20), lambda: False):
        threading.Timer(0.1, call.cancel).start()
        with pytest.raises(Cancelled):
            encoder.encode(contents, call)

    with decoders.permit(Deadline.after(1)), decoders.permit(Deadline.after(1)):
        pass
    assert len(encoder.encode(contents, call_of(contents))) == 1


def test_memory_that_is_not_freed_ends_with_the_deadline(encoder: Encoder, decoders: Decoders) -> None:
    """Waiting for memory ends with the caller's deadline."""
    contents = [Content("image", encoded(plain("red")))]

    with (
        decoders.memory(MEMORY_BYTES, Deadline.after(20), lambda: False),
        pytest.raises(DeadlineExceeded),
    ):
        encoder.encode(contents, call_of(contents, within_s=0.1))
