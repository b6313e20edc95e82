"""Moves of a collection to another space: its images are built beside it, then one switch decides which is served.

A run holds the collection's lock and writes into a sealed `target`, which only it may write. The source stays served. It
logs what changes, and the run repeats those images until there are none; then the source is sealed as well, so that
nothing new is begun, and when what was begun has ended and is repeated, a switch in Milvus makes the target served. Each
image keeps its version, so that the same version means the same image on both sides.

A run that died leaves a lock that expires. What is served and sealed without a lock was left behind: `Serving.tidy`
creates the next switch, so that the dead run cannot decide any more, and opens what is served then.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Collection as Items
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from rpc.deadline import Deadline
from rpc.errors import Aborted, Internal, NotFound, ServiceError
from services.stores.definitions import Definitions, Superseded
from services.stores.finding import Finder
from services.stores.milvus.names import hidden_name, identity_of
from services.stores.milvus.rows import rows_of
from services.stores.milvus.store import RowStore
from services.stores.queries import FindResult, NearestQuery
from services.stores.records import Collection, ImageRecord, StoredImage
from services.stores.recovery import Recovery
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import CatalogLost
from services.stores.serving import Serving

STEP_TIMEOUT_S = 30.0
INDEX_TIMEOUT_S = 4 * 3600.0
PAGE_SIZE = 1000
SAMPLE_SIZE = 16
FOUND_SCORE = 0.99
FOUND_SHARE = 0.9

_P = ParamSpec("_P")
_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


class Moves:
    """Opens moves."""

    def __init__(
        self,
        *,
        rows: RowStore,
        catalog: RedisCatalog,
        definitions: Definitions,
        recovery: Recovery,
        finder: Finder,
        serving: Serving,
    ) -> None:
        self.rows = rows
        self.finder = finder
        self.catalog = catalog
        self.steps = catalog.moves()
        self.locks = catalog.locks("move")
        self.definitions = definitions
        self.recovery = recovery
        self.serving = serving

    @asynccontextmanager
    async def open(
        self, name: str, *, space: str, encoder: str, dimension: int, index: str = ""
    ) -> "AsyncIterator[Move]":
        """A move into a space, or into another index, which goes on where an earlier one ended; Aborted while one runs."""
        identity = identity_of((await self.definitions.fresh(name)).store_name)
        async with self.locks.hold(identity) as token:
            move: Move | None = None
            try:
                await self.serving.reopen(name)
                source = await self.definitions.fresh(name)
                definition = replace(
                    source, space=space, encoder=encoder, dimension=dimension, index=index or source.index
                )
                target = await self._target(source, definition)
                move = Move(self, source, target, token)
                await move.begin()
                yield move
            finally:
                # Shielded, because it has to run also where the caller left; after a crash `Serving.tidy` does it.
                await asyncio.shield(asyncio.create_task(self._close(name, move)))

    async def _target(self, source: Collection, definition: Collection) -> Collection:
        """What is stored of the collection in this space, or with this index, already, or a new and empty one."""
        for store in (await self.serving.stored(source)).stores:
            if store != source.store_name:
                with contextlib.suppress(NotFound):  # dropped meanwhile
                    known = await self.rows.definition(store)
                    if known.space == definition.space and (
                        definition.space != source.space or known.index == definition.index
                    ):
                        return known
        generation = secrets.token_hex(8)
        target = replace(
            definition,
            generation=generation,
            stored_as=hidden_name(identity_of(source.store_name), generation),
        )
        created = await self.rows.create(target)
        await self.recovery.start(created, _soon())
        return created

    async def _close(self, name: str, move: "Move | None") -> None:
        if move is None:
            return
        try:
            await move.end()
            if move.is_deciding:
                await self.serving.reopen(name)
        except ServiceError as error:
            _logger.warning("%s: what is left of its move is repaired by the sweep: %s", name, error)


class Move:
    """One run."""

    def __init__(self, moves: Moves, source: Collection, target: Collection, token: str) -> None:
        self._moves = moves
        self.source = source
        self.target = target
        self._token = token
        self.is_deciding = False  # whether a switch may have been created whose outcome is not known

    async def begin(self) -> None:
        """Seal the target for this run, and log what changes in the source from here on."""
        # Redis was made to forget what is not served; the rows have it all.
        await self._moves.recovery.rebuild(self.target, is_lost=False)
        await self._ask(self.target, self._moves.steps.set_token, "seal", self._token, _soon())
        await self._ask(self.source, self._moves.steps.set_token, "log", self._token, _soon())

    async def end(self) -> None:
        """End the log, and open the source if it is served still."""
        for kind in ("log",) if self.is_deciding else ("log", "seal"):
            with contextlib.suppress(CatalogLost):  # it is not served any more
                await self._moves.steps.set_token(self.source, kind, "", _soon(), instead_of=self._token)

    async def count(self) -> int:
        """How many images the source has."""
        return (await self._ask(self.source, self._moves.catalog.counts, _soon())).image_count

    async def differences(self) -> AsyncIterator[tuple[int, list[ImageRecord]]]:
        """The images of the source in pages: how many, and those of them that the target lacks.

        What the target has and the source lacks is deleted from the target.
        """
        async for ids in self._pages(self.source):
            yield len(ids), await self.missing(ids)
        async for ids in self._pages(self.target):
            await self.missing(ids)

    async def missing(self, image_ids: Items[str]) -> list[ImageRecord]:
        """Those of these images that are to be embedded; the target loses those that the source lacks."""
        records = await self._ask(self.source, self._moves.catalog.records, image_ids, _soon())
        known = await self._ask(self.target, self._moves.catalog.records, image_ids, _soon())
        if gone := [image_id for image_id in known if image_id not in records]:
            await self._set(dict.fromkeys(gone))
        return [each for each in records.values() if getattr(known.get(each.image_id), "version", 0) != each.version]

    async def stored(self, records: Sequence[ImageRecord]) -> dict[str, StoredImage]:
        """Images of the source with their regions, by image_id; those that changed meanwhile are left out."""
        return await self._moves.rows.images(self.source.store_name, records, _soon())

    async def embedded(self, records: Sequence[ImageRecord]) -> dict[str, StoredImage]:
        """Those of these images that the target has with the same bytes, whatever their version, by image_id."""
        sha256s = {record.image_id: record.sha256 for record in records}
        known = await self._ask(self.target, self._moves.catalog.records, sha256s, _soon())
        same = [each for each in known.values() if each.sha256 == sha256s[each.image_id]]
        return await self._moves.rows.images(self.target.store_name, same, _soon())

    async def adopt(self, images: Sequence[StoredImage]) -> None:
        """Write images into the target, each under its version in the source."""
        rows = [row for image in images for row in rows_of(image.record, image)]
        await self._moves.rows.write(self.target.store_name, rows, _soon())
        await self._set({image.record.image_id: image.record for image in images})

    async def index_target(self) -> None:
        """Wait until what was copied is in the target's index, so that searches are fast from the switch on."""
        await self._moves.rows.index_rows(self.target, Deadline.after(INDEX_TIMEOUT_S))

    async def changes(self, count: int) -> list[ImageRecord] | None:
        """Of about `count` images that changed in the source those that are to be embedded; None where none changed."""
        changed = await self._ask(self.source, self._moves.steps.take_changes, self._token, count, _soon())
        return await self.missing(changed) if changed else None

    @asynccontextmanager
    async def sealed(self) -> AsyncIterator[None]:
        """Nothing new is begun in the source inside the block, nor behind it where it is not served any more."""
        try:
            await self._ask(self.source, self._moves.steps.set_token, "seal", self._token, _soon())
            yield
        finally:
            await asyncio.shield(asyncio.create_task(self._unseal()))

    async def _unseal(self) -> None:
        if not self.is_deciding:
            with contextlib.suppress(CatalogLost):  # it is not served any more
                await self._moves.steps.set_token(self.source, "seal", "", _soon(), instead_of=self._token)

    async def sweep(self) -> None:
        """End the writes that crashed writers left in the source, as far as their leases expired."""
        await self._ask(self.source, self._moves.recovery.sweep, _soon())

    async def is_drained(self) -> bool:
        """Whether no write is under way in the sealed source."""
        return not await self._ask(self.source, self._moves.steps.has_pending, _soon())

    async def verify(self) -> None:
        """Internal unless the target has as many images as the source, and finds a sample of them by their embeddings."""
        catalog = self._moves.catalog
        here, there = [await self._ask(each, catalog.counts, _soon()) for each in (self.source, self.target)]
        if here.image_count != there.image_count:
            message = (
                f"{there.image_count} of {here.image_count} images were embedded; call again, and the move goes on"
            )
            raise Internal(message)
        ids = await self._ask(self.target, catalog.ids, after="", limit=SAMPLE_SIZE, deadline=_soon())
        records = await self._ask(self.target, catalog.records, ids, _soon())
        images = await self._moves.rows.images(self.target.store_name, records.values(), _soon())
        scores = await self._best_scores(images.values())
        if len(scores) < len(ids) or sum(score >= FOUND_SCORE for score in scores) < FOUND_SHARE * len(ids):
            raise Internal("images are not found by their new embeddings; the old ones are served as before")

    async def _best_scores(self, images: Iterable[StoredImage]) -> list[float]:
        queries = [NearestQuery(image.embeddings[:1], limit=1) for image in images]
        found = await self._moves.finder.find(self.target, queries, _soon())
        return [each.hits[0].score for each in found if isinstance(each, FindResult) and each.hits]

    async def switch(self) -> None:
        """Serve the target, which has all that the sealed source has; Aborted where another run decided otherwise."""
        self.is_deciding = True
        served = await self._ask(self.source, self._moves.serving.switch, self.target, self._token)
        self.is_deciding = False
        if served != self.target.store_name:
            message = (
                f"the collection {self.source.name} was opened before the move could end; call again, and it goes on"
            )
            raise Aborted(message)

    async def _set(self, records: Mapping[str, ImageRecord | None]) -> None:
        """Let just these versions live in the target, and delete the rows of those before."""
        await self._ask(self.target, self._moves.steps.adopt, self._token, records, _soon())
        await self._ask(self.target, self._moves.recovery.purge_images, list(records), _soon())

    async def _pages(self, collection: Collection) -> AsyncIterator[list[str]]:
        after, ids = "", self._moves.catalog.ids
        while page := await self._ask(collection, ids, after=after, limit=PAGE_SIZE, deadline=_soon()):
            yield page
            after = page[-1]

    async def _ask(
        self,
        collection: Collection,
        call: Callable[Concatenate[Collection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Await `call(collection, ...)`: Redis may lose either side, and the source may be dropped."""
        try:
            if collection is self.source:
                return await self._moves.definitions.on(collection, call, *args, **kwargs)
            return await call(collection, *args, **kwargs)
        except (CatalogLost, Superseded) as error:
            message = f"the collection {self.source.name} changed while it was moved; call again, and the move goes on"
            raise Aborted(message) from error


def _soon() -> Deadline:
    return Deadline.after(STEP_TIMEOUT_S)
