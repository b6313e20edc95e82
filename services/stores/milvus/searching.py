"""Searches by Milvus's own stub: pymilvus's request checks and result objects cost as much as the whole of Redis.

benchmarks/search.py and docs/results.md have what that saves.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from pymilvus import AsyncMilvusClient
from pymilvus.client.utils import check_status
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from services.stores.milvus.indexes import METRIC, search_params
from services.stores.milvus.rows import EMBEDDING, Neighbor, RowKey, RowSearch
from services.stores.records import Embeddings

# pymilvus's mark for "a moment ago, as each server has it", which Bounded asks for.
_BOUNDED = 2


async def nearest_rows(
    client: AsyncMilvusClient,
    stored_name: str,
    embeddings: Embeddings,
    search: RowSearch,
    *,
    index: str,
    fields: Sequence[str],
) -> list[list[Neighbor]]:
    """The rows nearest to each of the embeddings (Q, D), best first, with these fields."""
    request = search_request(stored_name, embeddings, search, index=index, fields=fields)
    response = await client._handler._async_stub.Search(request)  # noqa: SLF001 - there is no public way
    check_status(response.status)
    return list(neighbors_in(response.results))


def search_request(
    stored_name: str, embeddings: Embeddings, search: RowSearch, *, index: str, fields: Sequence[str]
) -> milvus_pb2.SearchRequest:
    """A search as the wire has it."""
    rows = embeddings.astype("<f4", copy=False)
    placeholder = common_pb2.PlaceholderValue(
        tag="$0", type=common_pb2.PlaceholderType.Value("FloatVector"), values=[row.tobytes() for row in rows]
    )
    options = {
        "anns_field": EMBEDDING,
        "metric_type": METRIC,
        "topk": str(search.limit),
        "round_decimal": "-1",
        "params": orjson.dumps(search_params(index, search.limit)).decode(),
    }
    return milvus_pb2.SearchRequest(
        collection_name=stored_name,
        dsl=search.expression,
        dsl_type=common_pb2.DslType.BoolExprV1,
        placeholder_group=common_pb2.PlaceholderGroup(placeholders=[placeholder]).SerializeToString(),
        nq=len(rows),
        output_fields=fields,
        search_params=[common_pb2.KeyValuePair(key=key, value=value) for key, value in options.items()],
        guarantee_timestamp=_BOUNDED,
        consistency_level=common_pb2.ConsistencyLevel.Bounded,
    )


def neighbors_in(results: schema_pb2.SearchResultData) -> Iterator[list[Neighbor]]:
    """The rows of each query; rounding may carry a cosine just beyond 1."""
    keys, scores = results.ids.str_id.data, results.scores
    columns = {column.field_name: _values(column) for column in results.fields_data}
    start = 0
    for count in results.topks:
        yield [
            Neighbor(
                RowKey.parse(keys[at]),
                min(1.0, max(-1.0, scores[at])),
                {name: values[at] for name, values in columns.items()},
            )
            for at in range(start, start + count)
        ]
        start += count


def _values(column: schema_pb2.FieldData) -> Sequence[Any]:
    scalars = column.scalars
    # A server that found nothing sends columns without a kind.
    kind = scalars.WhichOneof("data")
    values: Sequence[Any] = getattr(scalars, kind).data if kind else ()
    return values
