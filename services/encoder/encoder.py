"""One encoder bundle at work: contents in, embeddings out, through the decoders and the batcher."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from encoders.errors import DecodingCancelled, InvalidContent, ModelError
from encoders.images.pixels import Pixels
from encoders.serving.session import Embedding, EmbeddingSession
from rpc.errors import Internal, ServiceError
from rpc.priority import Priority
from services.encoder.batcher import Batcher
from services.encoder.call import Call
from services.encoder.decoders import Decoders
from services.encoder.reading import Content, Reader

Outcome = Embedding | InvalidContent | ModelError

logger = logging.getLogger(__name__)


class Encoder:
    """Embeds what one bundle can read."""

    def __init__(
        self,
        session: EmbeddingSession,
        batcher: Batcher[Embedding],
        reader: Reader,
        decoders: Mapping[Priority, Decoders],
    ) -> None:
        self.bundle = session.bundle
        self.graph = session.graph
        self._batcher = batcher
        self._reader = reader
        self._decoders = decoders

    def encode(self, contents: Sequence[Content], call: Call[Embedding]) -> list[Outcome]:
        """Embed every part of a call's contents, in order; a bad one leaves its error in its place."""
        unread = dict(_placed(contents))
        with self._batcher.admitted(call):
            try:
                self._decoders[call.priority].start(
                    [partial(self._read, unread, places, call) for places in tuple(unread)]
                )
                return call.outcomes()
            finally:
                # Decoders get to a call that is over when they get to it; its images are not kept until then.
                unread.clear()

    def encode_pixels(self, pictures: Sequence[Pixels], call: Call[Embedding]) -> list[Outcome]:
        """Embed pixels that already have the input's size (H, W, 3)."""
        with self._batcher.admitted(call):
            for place, pixels in enumerate(pictures):
                self._batcher.put(call, place, pixels)
            return call.outcomes()

    def _read(self, unread: dict[range, Content], places: range, call: Call[Embedding]) -> None:
        """Read one content and hand on its parts, unless the call is over; whatever goes wrong ends in the call."""
        content = unread.pop(places, None)
        if content is None or call.is_over:
            return
        try:
            self._hand_on(content, places, call)
        except DecodingCancelled:
            pass  # the call is over and has its error
        except ServiceError as error:
            call.fail(error)
        except Exception:
            logger.exception("reading failed", extra={"model": self.bundle.name})
            call.fail(Internal("the input could not be read; the server's log says why"))

    def _hand_on(self, content: Content, places: range, call: Call[Embedding]) -> None:
        started_s = time.perf_counter()
        try:
            parts = self._reader.read(content, call)
        except InvalidContent as error:
            parts = [error] * len(places)
        call.note(decode_s=time.perf_counter() - started_s)
        for place, part in zip(places, parts, strict=True):
            if isinstance(part, InvalidContent):
                call.settle(place, part)
            else:
                call.warnings[place] = part.warnings
                self._batcher.put(call, place, part.item)


def _placed(contents: Sequence[Content]) -> Iterator[tuple[range, Content]]:
    """Each content behind the places of its outcomes in the call."""
    start = 0
    for content in contents:
        places = range(start, start + len(content.parts))
        yield places, content
        start = places.stop
