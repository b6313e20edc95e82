"""One encoder bundle at work: contents in, embeddings out, through the decoders and the batcher."""

import logging
import time
from collections.abc import Sequence
from functools import partial

from encoders.errors import DecodingCancelled, InvalidContent, ModelError
from encoders.pixels import Pixels
from encoders.session import Embedding, EmbeddingSession
from rpc.errors import Internal, ServiceError
from services.encoder.batcher import Batcher, Slot
from services.encoder.call import Call
from services.encoder.decoders import Decoders
from services.encoder.reading import Content, Reader

Outcome = Embedding | InvalidContent | ModelError

logger = logging.getLogger(__name__)


class Encoder:
    """Embeds what one bundle can read."""

    def __init__(
        self, session: EmbeddingSession, batcher: Batcher[Embedding], reader: Reader, decoders: Decoders
    ) -> None:
        self.bundle = session.bundle
        self.graph = session.graph
        self._batcher = batcher
        self._reader = reader
        self._decoders = decoders

    def encode(self, contents: Sequence[Content], call: Call[Embedding]) -> list[Outcome]:
        """Embed all contents of a call, in order; a bad one leaves its error in its place."""
        slots = self._batcher.reserve(call, len(contents))
        # The same picture with several regions is decoded once.
        places: dict[tuple[str, bytes | str], list[int]] = {}
        for place, content in enumerate(contents):
            places.setdefault((content.modality, content.data), []).append(place)
        self._decoders.start(
            [
                partial(self._read, [contents[place] for place in group], [slots[place] for place in group], call)
                for group in places.values()
            ]
        )
        return call.outcomes()

    def encode_pixels(self, pictures: Sequence[Pixels], call: Call[Embedding]) -> list[Outcome]:
        """Embed pixels that already have the input's size (H, W, 3)."""
        for slot, pixels in zip(self._batcher.reserve(call, len(pictures)), pictures, strict=True):
            slot.fill(pixels)
        return call.outcomes()

    def _read(self, contents: Sequence[Content], slots: Sequence[Slot[Embedding]], call: Call[Embedding]) -> None:
        """Read contents that share their data and hand each on as soon as it is read; never raises."""
        started_s = time.perf_counter()
        try:
            if not call.is_over:
                inputs = self._reader.read(contents, call)
                call.note(decode_s=time.perf_counter() - started_s)
                for slot, readable in zip(slots, inputs, strict=True):
                    if isinstance(readable, InvalidContent):
                        slot.refuse(readable)
                    else:
                        call.warnings[slot.place] = readable.warnings
                        slot.fill(readable.item)
        except InvalidContent as error:
            for slot in slots:
                slot.refuse(error)
        except DecodingCancelled:
            pass  # the call is over and has its error
        except ServiceError as error:
            call.fail(error)
        except Exception:
            logger.exception("reading failed", extra={"model": self.bundle.name})
            call.fail(Internal("the input could not be read; the server's log says why"))
        finally:
            for slot in slots:
                slot.close()
