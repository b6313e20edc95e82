"""All rows of a collection, in batches of bounded size."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from rpc.deadline import Deadline
from services.stores.milvus.rows import EMBEDDING, Row, distinct
from services.stores.records import Collection

MAX_ROWS = 16_384  # what one search or query of Milvus may return
SCAN_ROWS = 4096
SCAN_BYTES = 8 << 20

_HEX = "0123456789abcdef"
_ID_DIGITS = 32


async def scan(
    query: Callable[..., Awaitable[list[Row]]],
    collection: Collection,
    *,
    expression: str = "",
    fields: Sequence[str],
    deadline: Deadline,
    prefix: str = "",
    after: str = "",
    consistency: str = "Bounded",
    unique: bool = True,
) -> AsyncIterator[list[Row]]:
    """All rows of image_ids that start with `prefix` and come behind `after`, in batches ordered by image_id.

    A range of keys that does not fit into one query is cut into sixteen, so memory stays bounded and no image is
    spread over two batches. Without `unique` a row comes as often as it is stored.
    """
    limit, prefixes = SCAN_ROWS, [prefix]
    if EMBEDDING in fields and len(prefix) < _ID_DIGITS:
        limit = max(256, min(SCAN_ROWS, SCAN_BYTES // (4 * collection.dimension)))
        # A full answer, which is thrown away, costs more here than sixteen small ones.
        prefixes = [prefix + digit for digit in reversed(_HEX)]
    while prefixes:
        start = prefixes.pop()
        if after and start + "g" <= after:
            continue
        lower = max(start, after + "g") if after else start  # "g" stands behind all digits
        bounds = f"(key >= '{lower}' and key < '{start}g')"
        within = f"({bounds} and {expression})" if expression else bounds
        size = MAX_ROWS if len(start) == _ID_DIGITS else limit
        rows = await query(
            collection.store_name, within, ["key", *fields], deadline, consistency=consistency, limit=size
        )
        if len(rows) == size and len(start) < _ID_DIGITS:
            prefixes += [start + digit for digit in reversed(_HEX)]
        elif rows:
            yield sorted(distinct(rows) if unique else rows, key=lambda row: str(row["key"]))
