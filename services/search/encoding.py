"""Encoding of the parts of queries: each content once, all encoders concurrently, each called once for all parts."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from rpc.clients import Embedded, Input, calls_of
from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, ServiceError
from rpc.tasks import gather
from services.search.embedding_cache import LOOKUPS, EmbeddingCache, EmbeddingKey, keys_of
from services.search.planner import EncodedPart
from services.search.query import EncoderCall

Outcome: TypeAlias = Embedded | ServiceError


class PartEncoder:
    """Encodes contents that are not known; a content that another query encodes right now is waited for."""

    def __init__(self, cache: EmbeddingCache) -> None:
        self._cache = cache
        self._running: dict[EmbeddingKey, asyncio.Future[Outcome | None]] = {}

    async def encode(
        self, parts: Sequence[EncodedPart], *, space: str, deadline: Deadline
    ) -> tuple[list[list[Outcome]], list[EncoderCall]]:
        """The outcomes of each part, in order, and the calls that they needed.

        An encoder that fails as a whole fails its own parts only.
        """
        keys = await gather(*(keys_of(part.input, part.encoder.info) for part in parts))
        part_of = {key: part for part, part_keys in zip(parts, keys, strict=True) for key in part_keys}
        outcomes: dict[EmbeddingKey, Outcome] = {}
        calls: list[EncoderCall] = []
        for key in part_of:
            if (known := self._cache.get(key)) is not None:
                outcomes[key] = known
        LOOKUPS.labels("hit").inc(len(outcomes))
        while left := {key: part for key, part in part_of.items() if key not in outcomes}:
            followed = {key: self._running[key] for key in left if key in self._running}
            led = {key: part for key, part in left.items() if key not in followed}
            if led:
                outcomes |= await self._lead(led, space, deadline, calls)
            outcomes |= await _follow(followed, deadline)
        return [[outcomes[key] for key in part_keys] for part_keys in keys], calls

    async def _lead(
        self, parts: Mapping[EmbeddingKey, EncodedPart], space: str, deadline: Deadline, calls: list[EncoderCall]
    ) -> dict[EmbeddingKey, Outcome]:
        """Encode, for this query and for those that ask for the same meanwhile; adds to `calls`."""
        LOOKUPS.labels("miss").inc(len(parts))
        futures = {key: asyncio.get_running_loop().create_future() for key in parts}
        self._running |= futures
        outcomes: dict[EmbeddingKey, Outcome] = {}
        try:
            outcomes = await _encode_all(parts, space, deadline, calls)
        finally:
            for key, future in futures.items():
                del self._running[key]
                outcome = outcomes.get(key)
                # A caller that left or had little time says nothing about the content: the next one tries again.
                future.set_result(None if isinstance(outcome, DeadlineExceeded) else outcome)
                if isinstance(outcome, Embedded):
                    self._cache.put(key, outcome)
        return outcomes


async def _follow(
    running: Mapping[EmbeddingKey, "asyncio.Future[Outcome | None]"], deadline: Deadline
) -> dict[EmbeddingKey, Outcome]:
    """What other queries encoded; without what they gave up."""
    if running:
        await asyncio.wait(running.values(), timeout=deadline.left_s())
        deadline.left_s()  # raises where time ran out
    outcomes = {key: future.result() for key, future in running.items()}
    found = {key: outcome for key, outcome in outcomes.items() if outcome is not None}
    LOOKUPS.labels("hit").inc(len(found))
    return found


async def _encode_all(
    parts: Mapping[EmbeddingKey, EncodedPart], space: str, deadline: Deadline, calls: list[EncoderCall]
) -> dict[EmbeddingKey, Outcome]:
    # An image is sent once for all its regions.
    contents: dict[Hashable, list[EmbeddingKey]] = defaultdict(list)
    for key in parts:
        contents[key._replace(region=None), key.region is None].append(key)
    by_encoder: dict[str, list[list[EmbeddingKey]]] = defaultdict(list)
    for keys in contents.values():
        by_encoder[keys[0].encoder].append(keys)
    answers = await gather(*(_encode(parts, each, space, deadline, calls) for each in by_encoder.values()))
    return {key: outcome for answer in answers for key, outcome in answer.items()}


async def _encode(
    parts: Mapping[EmbeddingKey, EncodedPart],
    contents: Sequence[Sequence[EmbeddingKey]],
    space: str,
    deadline: Deadline,
    calls: list[EncoderCall],
) -> dict[EmbeddingKey, Outcome]:
    """Contents for one encoder. One call after the other, so that only one call's messages are in memory at a time."""
    encoder, outcomes = parts[contents[0][0]].encoder, list[Outcome]()
    name = encoder.info.name
    for call in calls_of([_input(parts[keys[0]], keys) for keys in contents]):
        started_s = time.perf_counter()
        try:
            encoded = await encoder.client.encode(call, encoder=name, deadline=deadline)
            calls.append(EncoderCall(name, len(call), encoded.timings, 1000 * (time.perf_counter() - started_s)))
            outcomes += encoded.outcomes_in(space, encoder=name)
        except ServiceError as error:
            outcomes += [error] * sum(item.result_count for item in call)
    return dict(zip(chain.from_iterable(contents), outcomes, strict=True))


def _input(part: EncodedPart, keys: Sequence[EmbeddingKey]) -> Input:
    return replace(part.input, regions=tuple(key.region for key in keys if key.region))
