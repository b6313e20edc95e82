"""Fan-out: many inputs for several encoders, sent in as few calls as the limits allow, all at once."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rpc.clients import Embedded, Input
from rpc.deadline import Deadline
from rpc.directory import EncoderEntry
from rpc.errors import FailedPrecondition, ServiceError

MAX_INPUTS = 64
MAX_CALL_BYTES = 32 << 20

Outcome: TypeAlias = Embedded | ServiceError
Request: TypeAlias = tuple[EncoderEntry, Input]


async def encode_all(requests: Sequence[Request], *, space: str, deadline: Deadline) -> list[Outcome]:
    """One outcome for each request, in order; an encoder that fails as a whole fails its own inputs only."""
    calls = list(_calls(requests))
    answers = await asyncio.gather(
        *(_encode(encoder, [requests[index][1] for index in indices], space, deadline) for encoder, indices in calls)
    )
    outcomes = {
        index: outcome
        for (_, indices), answer in zip(calls, answers, strict=True)
        for index, outcome in zip(indices, answer, strict=True)
    }
    return [outcomes[index] for index in range(len(requests))]


def _calls(requests: Sequence[Request]) -> Iterator[tuple[EncoderEntry, list[int]]]:
    """Splits the requests into calls: one encoder, at most 64 inputs and 32 MiB each (one large input goes alone)."""
    encoders = {encoder.info.name: encoder for encoder, _ in requests}
    for name, encoder in encoders.items():
        indices: list[int] = []
        size = 0
        for index, (other, item) in enumerate(requests):
            if other.info.name != name:
                continue
            if indices and (len(indices) == MAX_INPUTS or size + len(item.content) > MAX_CALL_BYTES):
                yield encoder, indices
                indices, size = [], 0
            indices.append(index)
            size += len(item.content)
        yield encoder, indices


async def _encode(encoder: EncoderEntry, inputs: Sequence[Input], space: str, deadline: Deadline) -> Sequence[Outcome]:
    try:
        encoded = await encoder.client.encode(inputs, encoder=encoder.info.name, deadline=deadline)
    except ServiceError as error:
        return [error] * len(inputs)
    if encoded.space != space:
        message = f"encoder {encoder.info.name!r} now embeds into space {encoded.space}, the collection holds {space}"
        return [FailedPrecondition(message)] * len(inputs)
    return encoded.outcomes
