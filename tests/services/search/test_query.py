"""A query that cannot be answered is refused with the name of its field."""

import math
from typing import Any

import pytest

from rpc.errors import InvalidArgument
from services.search.query import QueryPart, SearchQuery

PART = QueryPart(0, "text", "red")


def query(**fields: Any) -> SearchQuery:
    return SearchQuery(**{"collection": "photos", "parts": (PART,), **fields})


def test_limits_have_a_default_and_a_maximum() -> None:
    """0 means 10, and what is too large is taken as 1000."""
    assert [query(limit=limit).page_size for limit in (0, 1, 1000, 1001, 2**31 - 1)] == [10, 1, 1000, 1000, 1000]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"collection": ""}, "collection:"),
        ({"parts": ()}, "parts:"),
        ({"limit": -1}, "limit:"),
        ({"offset": -1}, "offset:"),
        ({"offset": 10_001}, "offset:"),
        ({"min_score": math.nan}, "min_score:"),
        ({"min_score": -math.inf}, "min_score:"),
    ],
)
def test_bad_queries_name_the_field(fields: dict[str, Any], field: str) -> None:
    """The message begins with the field at fault."""
    with pytest.raises(InvalidArgument, match=f"^{field}"):
        query(**fields)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "text", "content": " \n"}, "text"),
        ({"kind": "image", "content": b""}, "image"),
        ({"kind": "text", "content": "red", "weight": math.nan}, "weight"),
        ({"kind": "text", "content": "red", "weight": math.inf}, "weight"),
        ({"kind": "text", "content": "red", "weight": -1000.5}, "weight"),
        ({"kind": "text", "content": "red", "region": (0, 0, 1, 1)}, "region"),
        ({"kind": "text", "content": "red", "detect": True}, "detect"),
        ({"kind": "image", "content": b"x", "detect": True, "region": (0, 0, 1, 1)}, "detect"),
        ({"kind": "image", "content": b"x", "region": (0.5, 0, 0.5, 1)}, "region"),
        ({"kind": "image", "content": b"x", "region": (0, 0, 1.5, 1)}, "region"),
        ({"kind": "image", "content": b"x", "region": (-0.1, 0, 1, 1)}, "region"),
        ({"kind": "image", "content": b"x", "region": (0, math.nan, 1, 1)}, "region"),
    ],
)
def test_bad_parts_name_the_field(fields: dict[str, Any], field: str) -> None:
    """The message says which part and which of its fields."""
    with pytest.raises(InvalidArgument, match=rf"^parts\[3\]\.{field}: "):
        QueryPart(position=3, **fields)


def test_one_part_may_ask_for_objects() -> None:
    """The objects of two images would have to be crossed."""
    parts = tuple(QueryPart(index, "image", b"x", detect=True) for index in range(2))
    with pytest.raises(InvalidArgument, match="detect"):
        query(parts=parts)
