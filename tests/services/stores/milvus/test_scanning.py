"""What a scan gives, whatever Milvus shows twice."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.stores.milvus import scanning
from services.stores.milvus.rows import Row
from tests.services.stores.making import a_collection, soon


class TwiceShown:
    """The rows of a Milvus that compacts its segments: some come twice, and both count for the limit."""

    def __init__(self, keys: list[str], twice: set[int]) -> None:
        self._rows = sorted([*keys, *(key for position, key in enumerate(keys) if position in twice)])

    async def query(self, _: str, expression: str, *__: Any, limit: int, **___: Any) -> list[Row]:
        """The first rows of a range."""
        lower, upper = re.findall(r"'([^']*)'", expression)[:2]
        return [{"key": key} for key in self._rows if lower <= key < upper][:limit]


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 60),
    twice=st.sets(st.integers(0, 59)),
    seed=st.integers(0, 15),
)
async def test_a_scan_yields_every_row_once(count: int, twice: set[int], seed: int) -> None:
    """A full answer is cut into smaller ones also where rows that come twice fill it."""
    keys = [f"{(i * 7919 + seed) % 16:x}{i:031x}-1-0" for i in range(count)]
    rows_at_once, scanning.SCAN_ROWS = scanning.SCAN_ROWS, 8
    try:
        scan = scanning.scan(TwiceShown(keys, twice).query, a_collection("c"), fields=(), deadline=soon())
        found = [row["key"] async for rows in scan for row in rows]
    finally:
        scanning.SCAN_ROWS = rows_at_once
    assert found == sorted(keys)
