"""Encoding of many images into one space, in batches of bulk priority."""

from collections.abc import Sequence
from itertools import islice

from rpc.clients import Embedded, Input, calls_of
from rpc.deadline import Deadline
from rpc.directory import EncoderEntry
from rpc.errors import ServiceError
from rpc.observer import stage
from rpc.priority import Priority
from services.ingest.backoff import retried
from services.ingest.batcher import MicroBatcher
from services.ingest.settings import IngestSettings


class Encodings(MicroBatcher[Input, list[Embedded]]):
    """The embeddings of each image's regions; if one region fails, its image fails alone."""

    def __init__(self, encoder: EncoderEntry, space: str, settings: IngestSettings) -> None:
        super().__init__(
            self._encode,
            max_requests=settings.encode_batch,
            calls=settings.encode_calls,
            max_bytes=settings.encode_batch_mib << 20,
            size_of=lambda item: len(item.content),
        )
        self._encoder = encoder
        self._space = space
        self._item_time_s = settings.item_time_s

    async def _encode(self, images: Sequence[Input]) -> list[list[Embedded] | ServiceError]:
        deadline = Deadline.after(self._item_time_s)
        # One call after the other: a batch with many regions needs several, and only one is in memory at a time.
        outcomes = iter([outcome for call in calls_of(images) for outcome in await self._call(call, deadline)])
        return [_all_or_error(list(islice(outcomes, image.result_count))) for image in images]

    async def _call(self, inputs: Sequence[Input], deadline: Deadline) -> Sequence[Embedded | ServiceError]:
        name = self._encoder.info.name
        with stage("encode"):
            encoded = await retried(
                lambda: self._encoder.client.encode(inputs, encoder=name, deadline=deadline, priority=Priority.BULK),
                deadline,
            )
        return encoded.outcomes_in(self._space, encoder=name)


def _all_or_error(outcomes: Sequence[Embedded | ServiceError]) -> list[Embedded] | ServiceError:
    embedded = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
    return next((outcome for outcome in outcomes if isinstance(outcome, ServiceError)), embedded)
