"""What a scan gives, whatever Milvus shows twice."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.stores.filters.expression import Engine
from services.stores.milvus import store
from services.stores.milvus.store import RowStore
from tests.services.stores.making import a_collection, soon


class TwiceShown:
    """The rows of a Milvus that compacts its segments: some come twice, and both count for the limit."""

    def __init__(self, keys: list[str], twice: set[int]) -> None:
        self._rows = sorted([*keys, *(key for position, key in enumerate(keys) if position in twice)])

    async def query(self, _: str, *, filter: str, limit: int, **__: Any) -> list[dict[str, str]]:  # noqa: A002
        """The first rows of a range."""
        lower, upper = re.findall(r"'([^']*)'", filter)[:2]
        return [{"key": key} for key in self._rows if lower <= key < upper][:limit]


class Direct:
    """A connection that asks a client without a network."""

    engine = Engine.SERVER

    def __init__(self, client: TwiceShown) -> None:
        self.client = client

    async def call(self, _: object, call: Any, __: str = "") -> Any:
        """Just the call."""
        return await call()


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 60),
    twice=st.sets(st.integers(0, 59)),
    seed=st.integers(0, 15),
)
async def test_a_scan_yields_every_row_once(count: int, twice: set[int], seed: int) -> None:
    """A full answer is cut into smaller ones also where rows that come twice fill it."""
    keys = [f"{(i * 7919 + seed) % 16:x}{i:031x}-1-0" for i in range(count)]
    row_store = RowStore(Direct(TwiceShown(keys, twice)))  # type: ignore[arg-type]
    rows_at_once, store.SCAN_ROWS = store.SCAN_ROWS, 8
    try:
        scan = row_store.scan(a_collection("c"), fields=(), deadline=soon())
        found = [row["key"] async for rows in scan for row in rows]
    finally:
        store.SCAN_ROWS = rows_at_once
    assert found == sorted(keys)
