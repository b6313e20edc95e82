"""Which bytes are in use: by an image that lives, or by one that is being written."""

from collections.abc import Sequence

from rpc.deadline import Deadline
from rpc.errors import NotFound
from services.stores.catalog import RedisCatalog
from services.stores.definitions import Definitions
from services.stores.milvus import MAX_ROWS, MilvusIndex
from services.stores.rows import RowKey


class Contents:
    """Tells which SHA-256 any collection still has."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog, definitions: Definitions) -> None:
        self._index = index
        self._catalog = catalog
        self._definitions = definitions

    async def used(self, sha256s: Sequence[str], deadline: Deadline) -> set[str]:
        """Those of these SHA-256 that a live or pending image of any collection has."""
        used: set[str] = set()
        for collection in await self._index.collections():
            left = [sha256 for sha256 in sha256s if sha256 not in used]
            try:
                used |= await self._used_in(collection.name, left, deadline)
            except NotFound:
                continue  # dropped meanwhile
        return used

    async def _used_in(self, name: str, sha256s: Sequence[str], deadline: Deadline) -> set[str]:
        # Pending first: what becomes live between the two questions is seen by one of them.
        pending = await self._definitions.whole(name, lambda it: self._catalog.pending_sha256s(it, deadline))
        return (pending & set(sha256s)) | await self._live_in(name, sha256s, deadline)

    async def _live_in(self, name: str, sha256s: Sequence[str], deadline: Deadline) -> set[str]:
        if not sha256s:
            return set()
        rows = await self._index.rows_of_contents(name, sha256s, deadline)
        if len(rows) >= MAX_ROWS:
            return await self._live_in_halves(name, sha256s, deadline)
        ids = {RowKey.parse(row["key"]).image_id for row in rows}
        records = await self._definitions.whole(name, lambda it: self._catalog.records(it, ids, deadline))
        return {record.sha256 for record in records.values()} & set(sha256s)

    async def _live_in_halves(self, name: str, sha256s: Sequence[str], deadline: Deadline) -> set[str]:
        """Ask for fewer at once; one that alone has too many rows to see counts as used."""
        if len(sha256s) == 1:
            return set(sha256s)
        middle = len(sha256s) // 2
        first = await self._live_in(name, sha256s[:middle], deadline)
        return first | await self._live_in(name, sha256s[middle:], deadline)
