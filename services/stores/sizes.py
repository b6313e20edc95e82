"""How large collections are, and what follows: the index that each needs, and whether the embedded Milvus is too small."""

from rpc.deadline import Deadline
from services.stores.definitions import Definitions
from services.stores.filters.expression import Engine
from services.stores.milvus.indexes import index_for, is_outgrown
from services.stores.milvus.store import RowStore
from services.stores.records import Collection
from services.stores.redis.catalog import RedisCatalog

TIMEOUT_S = 10.0
# Measured: where the share of Milvus Lite in a search reaches about 20 ms, see docs/scale.md.
MOST_EMBEDDED_ROWS = 200_000


class Sizes:
    """Counts rows: one for each image, or for each of its regions."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog, definitions: Definitions) -> None:
        self._rows = rows
        self._catalog = catalog
        self._definitions = definitions
        self.engine = rows.engine

    async def row_count(self, name: str) -> int:
        """How many rows of a collection can be found."""
        counts = await self._definitions.with_rebuild(name, self._catalog.counts, Deadline.after(TIMEOUT_S))
        return counts.row_count

    async def index_needed(self, collection: Collection, row_count: int) -> str:
        """The index that a collection outgrew its own for; empty where that will do, or was asked for by name."""
        if not collection.index_by_size:
            return ""
        machine = await self._rows.machine(Deadline.after(TIMEOUT_S))
        target = index_for(row_count, collection.dimension, machine)
        return target if is_outgrown(collection.index, target) else ""

    def server_due(self, row_count: int) -> str:
        """What to do where the embedded Milvus holds more than it is made for, in a line; empty elsewhere."""
        if self.engine is not Engine.LITE or row_count <= MOST_EMBEDDED_ROWS:
            return ""
        return (
            f"the embedded Milvus holds {row_count:,} embeddings, and searches take longer with each: "
            "use a Milvus server (--milvus URL, see docs/operations.md)"
        )
