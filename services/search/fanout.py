"""Fan-out: many inputs for several encoders, all asked at once, each in as few calls as the contract allows."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from rpc.clients import Embedded, Input, calls_of
from rpc.deadline import Deadline
from rpc.directory import EncoderEntry
from rpc.errors import FailedPrecondition, ServiceError

Outcome: TypeAlias = Embedded | ServiceError
Request: TypeAlias = tuple[EncoderEntry, Input]


async def encode_all(requests: Sequence[Request], *, space: str, deadline: Deadline) -> list[list[Outcome]]:
    """The outcomes of each request, in order; an encoder that fails as a whole fails its own inputs only."""
    encoders = {encoder.info.name: encoder for encoder, _ in requests}
    answers = await asyncio.gather(
        *(
            _encode(encoder, [item for other, item in requests if other.info.name == name], space, deadline)
            for name, encoder in encoders.items()
        )
    )
    outcomes = {name: iter(answer) for name, answer in zip(encoders, answers, strict=True)}
    return [list(islice(outcomes[encoder.info.name], item.result_count)) for encoder, item in requests]


async def _encode(encoder: EncoderEntry, inputs: Sequence[Input], space: str, deadline: Deadline) -> list[Outcome]:
    """One call after the other, so that the messages of one of them are in memory at a time."""
    return [outcome for call in calls_of(inputs) for outcome in await _call(encoder, call, space, deadline)]


async def _call(encoder: EncoderEntry, inputs: Sequence[Input], space: str, deadline: Deadline) -> Sequence[Outcome]:
    count = sum(item.result_count for item in inputs)
    try:
        encoded = await encoder.client.encode(inputs, encoder=encoder.info.name, deadline=deadline)
    except ServiceError as error:
        return [error] * count
    if encoded.space != space:
        message = f"encoder {encoder.info.name!r} now embeds into space {encoded.space}, the collection holds {space}"
        return [FailedPrecondition(message)] * count
    return encoded.outcomes
