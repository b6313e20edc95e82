"""The gRPC methods of the search service: messages to queries, answers to messages."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import grpc
from google.protobuf import struct_pb2

from domain.limits import MAX_PARTS, MAX_QUERIES
from domain.reasons import ANSWER_TOO_LARGE
from fovea.search.v1 import search_pb2, search_pb2_grpc
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, ServiceError, to_status
from rpc.messages import box_message, box_of, detection_message, exif_message
from rpc.metadata import struct_of
from services.search.facets import Facet, FacetValue
from services.search.query import EncoderCall, QueryPart, RefinedHit, SearchAnswer, SearchQuery
from services.search.searcher import Searcher
from services.stores.queries import RegionMatch

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_WITH_PAGE_TOKEN = ("collection", "page_token", "limit")
# The tag and length of a result inside its batch.
_FRAME_BYTES = 8


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Serves `fovea.search.v1.SearchService`."""

    def __init__(self, searcher: Searcher, *, max_time_s: float, max_message_bytes: int) -> None:
        self._searcher = searcher
        self._max_time_s = max_time_s
        self._max_message_bytes = max_message_bytes

    async def Search(self, request: search_pb2.SearchRequest, context: Context) -> search_pb2.SearchResponse:
        """Answers one query."""
        deadline = Deadline.of(context, max_s=self._max_time_s)
        return _response(await self._searcher.search(_query(request), deadline))

    async def CountFacets(self, request: search_pb2.CountFacetsRequest, _: Context) -> search_pb2.CountFacetsResponse:
        """Counts the values of fields in a collection."""
        counts = await self._searcher.count_facets(request.collection, request.fields, request.filter)
        return search_pb2.CountFacetsResponse(
            facets=map(_facet, counts.facets), image_count=counts.image_count, is_complete=counts.is_complete
        )

    async def BatchSearch(
        self, request: search_pb2.BatchSearchRequest, context: Context
    ) -> search_pb2.BatchSearchResponse:
        """Answers up to 64 queries; one bad query fails alone."""
        deadline = Deadline.of(context, max_s=self._max_time_s)
        if not request.collection:
            raise InvalidArgument("collection: name the collection to search")
        if not 1 <= len(request.queries) <= MAX_QUERIES:
            raise InvalidArgument(f"queries: send 1 to {MAX_QUERIES}, not {len(request.queries)}")
        queries = [_batch_query(item, request.collection) for item in request.queries]
        good = [query for query in queries if isinstance(query, SearchQuery)]
        answers = iter(await self._searcher.search_batch(request.collection, good, deadline))
        outcomes = [query if isinstance(query, ServiceError) else next(answers) for query in queries]
        results = _fitting([_result(outcome) for outcome in outcomes], self._max_message_bytes)
        return search_pb2.BatchSearchResponse(results=results)


def _batch_query(request: search_pb2.SearchRequest, collection: str) -> SearchQuery | ServiceError:
    try:
        if request.collection not in ("", collection):
            raise InvalidArgument("collection: all queries of a batch are on the batch's collection; leave it empty")
        return _query(request, collection)
    except ServiceError as error:
        return error


def _query(request: search_pb2.SearchRequest, collection: str = "") -> SearchQuery:
    if request.page_token:
        return _next_page(request, collection)
    parts = _parts(request.parts)
    return SearchQuery(
        collection=collection or request.collection,
        parts=parts,
        limit=request.limit,
        offset=request.offset,
        filter=request.filter,
        min_score=request.min_score if request.HasField("min_score") else None,
        exact=request.exact,
        group_by_image=request.group_by_image if request.HasField("group_by_image") else True,
        fold_copies=request.fold_copies if request.HasField("fold_copies") else True,
        match_all=any(part.match_all for part in parts),
        explain=request.explain,
        group_near_duplicates=request.group_near_duplicates,
        diversity=request.diversity,
        relevance=request.relevance,
        facets=tuple(request.facets),
    )


def _next_page(request: search_pb2.SearchRequest, collection: str) -> SearchQuery:
    """A query that goes on where a page ended; the token holds everything else."""
    if beside := next((field.name for field, _ in request.ListFields() if field.name not in _WITH_PAGE_TOKEN), ""):
        raise InvalidArgument(f"{beside}: it is in the page_token already; send collection, page_token and limit alone")
    return SearchQuery(collection or request.collection, parts=(), limit=request.limit, page_token=request.page_token)


def _parts(messages: Sequence[search_pb2.QueryPart]) -> tuple[QueryPart, ...]:
    """The parts without those of weight 0, which equal absence whatever they hold."""
    if not 1 <= len(messages) <= MAX_PARTS:
        raise InvalidArgument(f"parts: a query needs 1 to {MAX_PARTS} parts, not {len(messages)}")
    return tuple(_part(position, message) for position, message in enumerate(messages) if _weight(message))


def _weight(message: search_pb2.QueryPart) -> float:
    return message.weight if message.HasField("weight") else 1.0


def _part(position: int, message: search_pb2.QueryPart) -> QueryPart:
    kind = message.WhichOneof("content")
    if kind is None:
        raise InvalidArgument(f"parts[{position}]: give it a text, image, sketch, image_id or embedding")
    return QueryPart(
        position=position,
        kind=kind,
        content=getattr(message, kind),
        weight=_weight(message),
        region=box_of(message.region) if message.HasField("region") else None,
        detect=message.detect,
        regions=tuple(map(box_of, message.regions)),
        match_all=message.match == search_pb2.REGION_MATCH_ALL,
    )


def _result(outcome: SearchAnswer | ServiceError) -> search_pb2.BatchSearchResult:
    if isinstance(outcome, ServiceError):
        return search_pb2.BatchSearchResult(error=to_status(outcome))
    return search_pb2.BatchSearchResult(response=_response(outcome))


def _fitting(results: Sequence[search_pb2.BatchSearchResult], max_bytes: int) -> Iterator[search_pb2.BatchSearchResult]:
    """The results in order; those that no longer fit into one message become errors."""
    refusal = _result(
        InvalidArgument(
            "the batch's answer is too large for one message; send fewer queries in one call or ask for fewer hits",
            reason=ANSWER_TOO_LARGE,
        )
    )
    room = max_bytes - len(results) * (refusal.ByteSize() + _FRAME_BYTES)
    for result in results:
        size = result.ByteSize()
        yield result if size <= room else refusal
        room -= size if size <= room else 0


def _response(answer: SearchAnswer) -> search_pb2.SearchResponse:
    return search_pb2.SearchResponse(
        hits=[_hit(hit, has_regions=bool(answer.query_regions)) for hit in answer.hits],
        space=answer.space,
        timings=search_pb2.SearchTimings(
            encode_ms=answer.encode_ms,
            vector_search_ms=answer.vector_search_ms,
            metadata_ms=answer.metadata_ms,
            total_ms=answer.total_ms,
            encoders=map(_encoder_timings, answer.encoder_calls),
        ),
        query_regions=map(detection_message, answer.query_regions),
        warnings=answer.warnings,
        next_page_token=answer.next_page_token,
        facets=map(_facet, answer.facets),
    )


def _hit(refined: RefinedHit, *, has_regions: bool) -> search_pb2.Hit:
    hit = refined.hit
    return search_pb2.Hit(
        image_id=hit.record.image_id,
        uri=hit.record.uri,
        score=hit.score,
        region=box_message(hit.region.box) if hit.region else None,
        label=hit.region.label if hit.region else "",
        metadata=struct_of(hit.record.metadata),
        query_region=hit.query_position if has_regions else None,
        copies=hit.copies,
        copy_count=hit.copy_count,
        exif=exif_message(hit.record.exif),
        matches=map(_matched_region, hit.matches),
        contributions=[search_pb2.Contribution(part=part, score=score) for part, score in refined.contributions],
        near_duplicates=[
            search_pb2.NearDuplicate(image_id=each.record.image_id, uri=each.record.uri, score=each.score)
            for each in refined.near_duplicates
        ],
        confidence=refined.confidence,
    )


def _encoder_timings(call: EncoderCall) -> search_pb2.EncoderTimings:
    return search_pb2.EncoderTimings(
        encoder=call.encoder,
        input_count=call.input_count,
        decode_ms=call.timings.decode_ms,
        queue_ms=call.timings.queue_ms,
        infer_ms=call.timings.infer_ms,
        call_ms=call.call_ms,
    )


def _facet(facet: Facet) -> search_pb2.Facet:
    return search_pb2.Facet(
        field=facet.field,
        values=[search_pb2.FacetValue(value=_value(value), count=count) for value, count in facet.values],
        other_count=facet.other_count,
    )


def _value(value: FacetValue) -> struct_pb2.Value:
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    return struct_pb2.Value(bool_value=value) if isinstance(value, bool) else struct_pb2.Value(number_value=value)


def _matched_region(match: RegionMatch) -> search_pb2.MatchedRegion:
    return search_pb2.MatchedRegion(
        query_region=match.query_position,
        region=box_message(match.region.box) if match.region else None,
        label=match.region.label if match.region else "",
        score=match.score,
    )
