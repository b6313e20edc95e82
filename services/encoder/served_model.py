"""One bundle at work: inputs in, the model's answers out, through the decoders and the model's queue."""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Generic, TypeAlias, TypeVar

from encoders.bundle import Bundle
from encoders.errors import DecodingCancelled, InvalidContent
from encoders.serving.session import Embedding, ModelInput, RawDetections
from rpc.errors import DeadlineExceeded, Internal, ServiceError
from rpc.priority import Priority
from services.encoder.call import ModelCall
from services.encoder.decoders import Decoders
from services.encoder.model_queue import ModelChoices, ModelQueue
from services.encoder.readers import EncoderInput, Reader

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class ServedModel(Generic[Answer]):
    """Runs what one bundle can read: embeddings or raw detections come out."""

    def __init__(
        self, bundle: Bundle, queue: ModelQueue[Answer], reader: Reader, decoders: Mapping[Priority, Decoders]
    ) -> None:
        self.bundle = bundle
        self._queue = queue
        self._reader = reader
        self._decoders = decoders

    @property
    def choices(self) -> ModelChoices:
        """What was chosen for the model that runs now."""
        return self._queue.choices

    def run(self, inputs: Sequence[EncoderInput], call: ModelCall[Answer]) -> list[Answer | ServiceError]:
        """Run the model on every part of a call's inputs, in order; one that cannot be read or run fails alone."""
        ends = accumulate(len(item.parts) for item in inputs)
        unread = {range(end - len(item.parts), end): item for item, end in zip(inputs, ends, strict=True)}
        with self._queue.admitted(call):
            try:
                tasks = [partial(self._read, unread, positions, call) for positions in tuple(unread)]
                self._decoders[call.priority].start(tasks)
                return call.outcomes()
            finally:
                # Tasks of a call that is over stay in the decoders' queue for a while; its images must not stay with them.
                unread.clear()

    def run_prepared(self, inputs: Sequence[ModelInput], call: ModelCall[Answer]) -> list[Answer | ServiceError]:
        """Run the model on inputs that need no reading: pixels (H, W, 3) of the input's size."""
        with self._queue.admitted(call):
            self._queue.put(call, 0, *inputs)
            return call.outcomes()

    def _read(self, unread: dict[range, EncoderInput], positions: range, call: ModelCall[Answer]) -> None:
        """Read one input and queue its parts, unless the call is over; every error ends in the call."""
        item = unread.pop(positions, None)
        if item is None or call.is_over:
            return
        try:
            self._queue_parts(item, positions, call)
        except DecodingCancelled:
            pass  # the call is over and has its error
        except TimeoutError:
            call.fail(DeadlineExceeded("the deadline passed before the image was decoded; allow more time"))
        except ServiceError as error:
            call.fail(error)
        except Exception:
            logger.exception("reading failed", extra={"model": self.bundle.name})
            call.fail(Internal("the input could not be read; the server's log says why"))

    def _queue_parts(self, item: EncoderInput, positions: range, call: ModelCall[Answer]) -> None:
        started_s = time.perf_counter()
        try:
            parts = self._reader.read(item, call)
        except InvalidContent as error:
            parts = [error] * len(positions)
        call.note_decoding(time.perf_counter() - started_s)
        # Parts are queued one by one as they are read: the model starts on them while other inputs are still decoded.
        for position, part in zip(positions, parts, strict=True):
            if isinstance(part, InvalidContent):
                call.settle(position, part)
            else:
                call.warnings[position], call.image_px[position] = part.warnings, part.image_px
                self._queue.put(call, position, part.model_input)


Encoder: TypeAlias = ServedModel[Embedding]
Detector: TypeAlias = ServedModel[RawDetections]
