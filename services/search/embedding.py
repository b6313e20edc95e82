"""Embedding of queries: their parts are planned, encoded and fused."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, ServiceError
from rpc.tasks import gather
from services.search.confidence import mixed
from services.search.encoding import Outcome, PartEncoder
from services.search.fusion import Embeddings, fuse, terms_of
from services.search.planner import EncodedPart, PartPlanner, PlannedPart, QueryEmbeddings
from services.search.query import PartTerm, QueryPart, SearchQuery
from services.stores.records import Collection


class QueryEmbedder:
    """Embeds queries into the space of their collection."""

    def __init__(self, planner: PartPlanner, encoder: PartEncoder) -> None:
        self._planner = planner
        self._encoder = encoder

    async def embed(
        self, collection: Collection, queries: Sequence[SearchQuery], deadline: Deadline
    ) -> list[QueryEmbeddings | ServiceError]:
        """One outcome for each query, in order; a query that cannot be embedded fails alone."""
        plans = await gather(*(self._plan(collection, query, deadline) for query in queries))
        planned = [part for plan in plans if not isinstance(plan, ServiceError) for part in plan]
        to_encode = [part for part in planned if isinstance(part, EncodedPart)]
        encoded, calls = await self._encoder.encode(to_encode, space=collection.space, deadline=deadline)
        outcomes = iter(encoded)
        assembled = [
            plan if isinstance(plan, ServiceError) else _assembled(query, plan, outcomes)
            for query, plan in zip(queries, plans, strict=True)
        ]
        return [each if isinstance(each, ServiceError) else replace(each, calls=tuple(calls)) for each in assembled]

    async def _plan(
        self, collection: Collection, query: SearchQuery, deadline: Deadline
    ) -> list[PlannedPart] | ServiceError:
        try:
            return await gather(*(self._planner.plan(collection, part, deadline) for part in query.parts))
        except ServiceError as error:
            return error


def _assembled(
    query: SearchQuery, plan: Sequence[PlannedPart], outcomes: Iterator[Sequence[Outcome]]
) -> QueryEmbeddings | ServiceError:
    # All outcomes of the query are consumed before one can raise: the next query's follow.
    encoded = [next(outcomes) if isinstance(part, EncodedPart) else () for part in plan]
    try:
        return _fused(query, [_embedded(*part) for part in zip(query.parts, plan, encoded, strict=True)])
    except ServiceError as error:
        return error


def _embedded(part: QueryPart, planned: PlannedPart, outcomes: Sequence[Outcome]) -> QueryEmbeddings:
    """The part's embeddings; raises the first error among its outcomes, which names the part."""
    if isinstance(planned, QueryEmbeddings):
        return planned
    rows: list[Embeddings] = []
    warnings = list(planned.warnings)
    for outcome in outcomes:
        if isinstance(outcome, InvalidArgument):
            raise part.fault(part.kind, outcome.message, reason=outcome.reason) from outcome
        if isinstance(outcome, ServiceError):
            raise outcome
        rows.append(outcome.embedding)
        warnings += outcome.warnings
    return QueryEmbeddings(
        np.stack(rows), planned.regions, tuple(warnings), calibration=planned.encoder.info.calibration
    )


def _fused(query: SearchQuery, embedded: Sequence[QueryEmbeddings]) -> QueryEmbeddings:
    embeddings, weights = [each.embeddings for each in embedded], [part.weight for part in query.parts]
    _check_widths(query.parts, embeddings)
    widest = max(embedded, key=lambda each: (len(each.embeddings), bool(each.regions)))
    warnings = dict.fromkeys(warning for each in embedded for warning in each.warnings)
    terms: tuple[PartTerm, ...] = ()
    if query.explain:
        each_term = zip(query.parts, terms_of(embeddings, weights), strict=True)
        terms = tuple(PartTerm(part.position, term.astype(np.float32)) for part, term in each_term)
    calibration = mixed([each.calibration for each in embedded], weights)
    return QueryEmbeddings(fuse(embeddings, weights), widest.regions, tuple(warnings), terms, calibration=calibration)


def _check_widths(parts: Sequence[QueryPart], embeddings: Sequence[Embeddings]) -> None:
    """Two parts with regions would have to be crossed, and pushing away from one region may pull towards another."""
    wide = [part for part, rows in zip(parts, embeddings, strict=True) if len(rows) > 1]
    if len(wide) > 1:
        raise InvalidArgument(f"parts: {wide[0].name} and {wide[1].name} both stand for several regions; only one may")
    if wide and wide[0].weight < 0:
        raise InvalidArgument(f"{wide[0].name}.weight: a part that stands for several regions cannot push away")
