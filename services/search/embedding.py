"""Queries in, query vectors out: every encoder is asked at once, for all parts of all queries together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rpc.clients import Embedded
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, ServiceError
from services.search.fanout import Outcome, encode_all
from services.search.fusion import Embeddings, fuse
from services.search.planner import EncodedPart, KnownPart, PartPlanner, PlannedPart
from services.search.query import Part, Query
from services.stores.records import Collection, Region


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """A query as vectors: `embeddings` is `(Q, D)`, one row for each region, or a single row."""

    embeddings: Embeddings
    regions: tuple[Region, ...] = ()
    warnings: tuple[str, ...] = ()


class QueryEmbedder:
    """Turns queries into vectors of their collection's space."""

    def __init__(self, planner: PartPlanner) -> None:
        self._planner = planner

    async def embed(
        self, collection: Collection, queries: Sequence[Query], deadline: Deadline
    ) -> list[EmbeddedQuery | ServiceError]:
        """One outcome for each query, in order; a query that cannot be embedded fails alone."""
        plans = await asyncio.gather(*(self._plan(collection, query, deadline) for query in queries))
        requests = [
            (part.encoder, part.input)
            for plan in plans
            if not isinstance(plan, ServiceError)
            for part in plan
            if isinstance(part, EncodedPart)
        ]
        outcomes = iter(await encode_all(requests, space=collection.space, deadline=deadline))
        answered = [
            plan
            if isinstance(plan, ServiceError)
            else [(part, next(outcomes) if isinstance(part, EncodedPart) else []) for part in plan]
            for plan in plans
        ]
        return [
            parts if isinstance(parts, ServiceError) else _assembled(query, parts)
            for query, parts in zip(queries, answered, strict=True)
        ]

    async def _plan(self, collection: Collection, query: Query, deadline: Deadline) -> list[PlannedPart] | ServiceError:
        plans = [self._planner.plan(collection, part, deadline) for part in query.parts]
        outcomes = await asyncio.gather(*plans, return_exceptions=True)
        planned: list[PlannedPart] = []
        for outcome in outcomes:
            if isinstance(outcome, ServiceError):
                return outcome
            if isinstance(outcome, BaseException):
                raise outcome
            planned.append(outcome)
        return planned


def _assembled(query: Query, parts: Sequence[tuple[PlannedPart, Sequence[Outcome]]]) -> EmbeddedQuery | ServiceError:
    try:
        return _assemble(query, parts)
    except ServiceError as error:
        return error


def _assemble(query: Query, parts: Sequence[tuple[PlannedPart, Sequence[Outcome]]]) -> EmbeddedQuery:
    warnings: list[str] = []
    embeddings: list[Embeddings] = []
    for part, (planned, outcomes) in zip(query.parts, parts, strict=True):
        embeddings.append(_rows(part, planned, outcomes))
        warnings += planned.warnings
        warnings += (w for outcome in outcomes if isinstance(outcome, Embedded) for w in outcome.warnings)
    _check_widths(query.parts, embeddings)
    widest = max(range(len(parts)), key=lambda i: (len(embeddings[i]), bool(parts[i][0].regions)))
    fused = fuse(embeddings, [part.weight for part in query.parts])
    return EmbeddedQuery(fused, parts[widest][0].regions, tuple(dict.fromkeys(warnings)))


def _rows(part: Part, planned: PlannedPart, outcomes: Sequence[Outcome]) -> Embeddings:
    """The part's vectors, `(R, D)`; raises the first error among its outcomes, naming the part."""
    if isinstance(planned, KnownPart):
        return planned.embeddings
    rows = []
    for outcome in outcomes:
        if isinstance(outcome, InvalidArgument):
            raise part.fault(part.kind, outcome.message, reason=outcome.reason) from outcome
        if isinstance(outcome, ServiceError):
            raise outcome
        rows.append(outcome.embedding)
    return np.stack(rows)


def _check_widths(parts: Sequence[Part], embeddings: Sequence[Embeddings]) -> None:
    """Regions of two parts would have to be crossed, and pushing away from one of several may pull to another."""
    wide = [part for part, rows in zip(parts, embeddings, strict=True) if len(rows) > 1]
    if len(wide) > 1:
        raise InvalidArgument(f"parts: {wide[0].name} and {wide[1].name} both stand for several regions; only one may")
    if wide and wide[0].weight < 0:
        raise InvalidArgument(f"{wide[0].name}.weight: a part that stands for several regions cannot push away")
