"""One bundle at work: what is decoded, how often, and what a failure touches."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.errors import InvalidContent
from encoders.serving.providers import SessionOptions
from encoders.serving.session import Embedding, EmbeddingSession
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Internal, InvalidArgument
from rpc.priority import Priority
from services.encoder.batcher import Batcher
from services.encoder.call import ModelCall
from services.encoder.decoders import Decoders
from services.encoder.readers import EncoderInput, ImageReader, Prepared
from services.encoder.served_model import ServedModel
from tests.support.bundles import PREPROCESSING, tiny_image_bundle
from tests.support.images import corners, encoded, plain

MEMORY_BYTES = 64 << 20


class CountingReader(ImageReader):
    """A real reader that counts the results of each read and breaks over one image."""

    def __init__(self, decoders: Mapping[Priority, Decoders]) -> None:
        super().__init__(PREPROCESSING, decoders)
        self.reads: list[int] = []
        self.breaks_over = b""

    def read(self, item: EncoderInput, call: ModelCall[Any]) -> list[Prepared | InvalidContent]:
        """Reads, remembers, breaks."""
        if item.content == self.breaks_over:
            raise KeyError("a bug")
        self.reads.append(len(item.parts))
        return super().read(item, call)


@pytest.fixture
def decoders() -> Iterator[Mapping[Priority, Decoders]]:
    made = {priority: Decoders(2, MEMORY_BYTES) for priority in Priority}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def reader(decoders: Mapping[Priority, Decoders]) -> CountingReader:
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
def encoder(
    tmp_path: Path, batcher: Batcher[Embedding], reader: CountingReader, decoders: Mapping[Priority, Decoders]
) -> ServedModel[Embedding]:
    return ServedModel(tiny_image_bundle(tmp_path), batcher, reader, decoders)


def call_of(
    inputs: Sequence[EncoderInput], within_s: float = 20, priority: Priority = Priority.INTERACTIVE
) -> ModelCall[Embedding]:
    """A call with as many outcomes as its inputs have parts."""
    return ModelCall(sum(len(item.parts) for item in inputs), Deadline.after(within_s), priority)


def test_an_image_is_decoded_once_for_all_its_regions(encoder: ServedModel[Embedding], reader: CountingReader) -> None:
    """Regions come in order between those of other inputs, and each keeps its own position and error."""
    image, other = encoded(corners()), encoded(plain("red"))
    regions = ((0, 0, 0.5, 0.5), (1, 0, 0, 1), (0.5, 0, 1, 0.5))
    inputs = [EncoderInput("image", other), EncoderInput("image", image, regions=regions), EncoderInput("image", other)]

    outcomes = encoder.run(inputs, call_of(inputs))

    assert sorted(reader.reads) == [1, 1, 3]
    assert isinstance(outcomes[2], InvalidArgument)
    whole, red, green, again = (outcome for outcome in outcomes if isinstance(outcome, np.ndarray))
    assert np.allclose(red, whole, atol=1e-5)
    assert np.allclose(again, whole, atol=1e-6)
    assert green @ whole < 0.9


def test_a_bug_in_reading_is_internal_and_leaves_no_trace(
    encoder: ServedModel[Embedding], reader: CountingReader
) -> None:
    """A fault of ours ends the call without internals; its permits are free and the next call works."""
    reader.breaks_over = encoded(plain("blue"))
    inputs = [EncoderInput("image", encoded(plain("red"))), EncoderInput("image", reader.breaks_over)]

    for _ in range(40):
        with pytest.raises(Internal, match="log says why"):
            encoder.run(inputs, call_of(inputs))

    reader.breaks_over = b""
    assert len(encoder.run(inputs, call_of(inputs))) == 2


def test_waiting_for_a_decoder_ends_with_the_deadline(
    encoder: ServedModel[Embedding], decoders: Mapping[Priority, Decoders]
) -> None:
    """When all decoders are taken the deadline still holds."""
    inputs, taken = [EncoderInput("image", encoded(plain("red")))], decoders[Priority.INTERACTIVE]
    with (
        taken.permit(Deadline.after(20)),
        taken.permit(Deadline.after(20)),
        pytest.raises(DeadlineExceeded, match="decoded"),
    ):
        encoder.run(inputs, call_of(inputs, within_s=0.05))

    assert len(encoder.run(inputs, call_of(inputs))) == 1


def test_a_call_that_is_over_lets_go_of_its_images(
    encoder: ServedModel[Embedding], decoders: Mapping[Priority, Decoders]
) -> None:
    """Images that wait for a decoder are not kept for a caller that has left; those before a decoder are few."""
    images = [encoded(plain("red", size=(8, side))) for side in range(8, 28)]
    before, taken = [sys.getrefcount(image) for image in images], decoders[Priority.INTERACTIVE]
    with taken.permit(Deadline.after(20)), taken.permit(Deadline.after(20)):
        for _ in range(3):
            call = call_of([EncoderInput("image", image) for image in images])
            threading.Timer(0.05, call.cancel).start()
            with pytest.raises(Cancelled):
                encoder.run([EncoderInput("image", image) for image in images], call)
            del call
        after = [sys.getrefcount(image) for image in images]
        assert sum(now > once for now, once in zip(after, before, strict=True)) <= 2


def test_bulk_decoding_delays_no_interactive_call(
    encoder: ServedModel[Embedding], decoders: Mapping[Priority, Decoders]
) -> None:
    """While bulk images hold all their threads, decoders and memory, interactive images are decoded at once."""
    inputs, bulk = [EncoderInput("image", encoded(plain("red")))] * 3, decoders[Priority.BULK]
    released = threading.Event()

    def hold() -> None:
        assert released.wait(20)

    bulk.start([hold, hold])
    try:
        with (
            bulk.permit(Deadline.after(20)),
            bulk.permit(Deadline.after(20)),
            bulk.memory.reserve(MEMORY_BYTES, 20),
        ):
            assert len(encoder.run(inputs[:1], call_of(inputs[:1]))) == 1
            assert len(encoder.run(inputs, call_of(inputs))) == 3
            with pytest.raises(DeadlineExceeded):
                encoder.run(inputs, call_of(inputs, within_s=0.05, priority=Priority.BULK))
    finally:
        released.set()


def test_a_caller_that_leaves_frees_its_decoder(
    encoder: ServedModel[Embedding], decoders: Mapping[Priority, Decoders]
) -> None:
    """While an image waits for memory its caller leaves: the wait ends at once, and the next call is served."""
    inputs, taken = [EncoderInput("image", encoded(plain("red")))], decoders[Priority.INTERACTIVE]
    call = call_of(inputs)

    with taken.memory.reserve(MEMORY_BYTES, 20):
        threading.Timer(0.1, call.cancel).start()
        with pytest.raises(Cancelled):
            encoder.run(inputs, call)

    with taken.permit(Deadline.after(1)), taken.permit(Deadline.after(1)):
        pass
    assert len(encoder.run(inputs, call_of(inputs))) == 1


def test_memory_that_is_not_freed_ends_with_the_deadline(
    encoder: ServedModel[Embedding], decoders: Mapping[Priority, Decoders]
) -> None:
    """Waiting for memory ends with the caller's deadline."""
    inputs = [EncoderInput("image", encoded(plain("red")))]

    with (
        decoders[Priority.INTERACTIVE].memory.reserve(MEMORY_BYTES, 20),
        pytest.raises(DeadlineExceeded),
    ):
        encoder.run(inputs, call_of(inputs, within_s=0.1))
