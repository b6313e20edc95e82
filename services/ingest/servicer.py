"""The gRPC methods of the ingest service."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from domain.limits import DEFAULT_PAGE_SIZE, MAX_DELETED, MAX_PAGE_SIZE
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc, jobs_pb2
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument
from services.ingest.collections import Collections
from services.ingest.item import Failed, Item
from services.ingest.jobs.jobs import Jobs
from services.ingest.jobs.messages import job_message, order_of
from services.ingest.maintenance import Maintenance
from services.ingest.messages import (
    collection_message,
    image_message,
    item_or_failure,
    mode_of,
    outcome_message,
    scrub_message,
    stored_image_message,
)
from services.ingest.reindexing import Reindexer
from services.ingest.scrubbing import Scrubber
from services.ingest.stream import Ingester
from services.stores.filters.grammar import parse_filter
from services.stores.filters.tree import warnings_of
from services.stores.images import ImageStore
from services.stores.records import Collection, Counts, image_id_of

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Serves `fovea.ingest.v1.IngestService`."""

    def __init__(
        self,
        *,
        ingester: Ingester,
        collections: Collections,
        store: ImageStore,
        maintenance: Maintenance,
        reindexer: Reindexer,
        scrubber: Scrubber,
        jobs: Jobs,
        max_time_s: float,
    ) -> None:
        self._ingester = ingester
        self._collections = collections
        self._store = store
        self._maintenance = maintenance
        self._reindexer = reindexer
        self._scrubber = scrubber
        self._jobs = jobs
        self._max_time_s = max_time_s

    async def CreateCollection(
        self, request: ingest_pb2.CreateCollectionRequest, context: Context
    ) -> ingest_pb2.CreateCollectionResponse:
        """Creates a collection."""
        new = request.collection
        created = await self._collections.create(
            new.name,
            encoder=new.encoder,
            detector=new.detector,
            mode=mode_of(new),
            index=new.index,
            display_name=new.display_name,
        )
        return ingest_pb2.CreateCollectionResponse(collection=self._message(created, Counts(0, 0)))

    async def GetCollection(
        self, request: ingest_pb2.GetCollectionRequest, context: Context
    ) -> ingest_pb2.GetCollectionResponse:
        """Reads one collection."""
        collection = await self._store.get(request.name)
        counts = await self._store.counts(request.name)
        return ingest_pb2.GetCollectionResponse(collection=self._message(collection, counts))

    async def ListCollections(
        self, request: ingest_pb2.ListCollectionsRequest, context: Context
    ) -> ingest_pb2.ListCollectionsResponse:
        """Reads all collections."""
        counted = await self._collections.list()
        due = self._store.sizes.server_due(sum(counts.row_count for _, counts in counted if counts))
        return ingest_pb2.ListCollectionsResponse(
            collections=[self._message(*pair) for pair in counted], warnings=[due] if due else []
        )

    async def UpdateCollection(
        self, request: ingest_pb2.UpdateCollectionRequest, context: Context
    ) -> ingest_pb2.UpdateCollectionResponse:
        """Changes what a collection is called."""
        display_name = request.display_name if request.HasField("display_name") else None
        updated = await self._collections.update(request.name, new_name=request.new_name, display_name=display_name)
        counts = await self._store.counts(updated.name)
        return ingest_pb2.UpdateCollectionResponse(collection=self._message(updated, counts))

    async def DeleteCollection(
        self, request: ingest_pb2.DeleteCollectionRequest, context: Context
    ) -> ingest_pb2.DeleteCollectionResponse:
        """Deletes a collection with everything in it."""
        await self._store.drop(request.name)
        self._maintenance.note_dropped()
        return ingest_pb2.DeleteCollectionResponse()

    async def Ingest(
        self, requests: AsyncIterator[ingest_pb2.IngestRequest], context: Context
    ) -> AsyncIterator[ingest_pb2.IngestResponse]:
        """Adds the stream's images."""
        first = await anext(aiter(requests), None)
        if first is None or not first.collection:
            raise InvalidArgument("collection: the first message must name the collection to fill")
        collection, items = first.collection, _items(first, requests)
        # A reference here would keep the first image's bytes as long as the stream lasts.
        del first
        async with self._ingester.stream(collection) as stream, aclosing(stream.outcomes(items)) as outcomes:
            async for outcome in outcomes:
                self._maintenance.note_outcome(collection, outcome)
                yield outcome_message(outcome)

    async def DeleteImages(
        self, request: ingest_pb2.DeleteImagesRequest, context: Context
    ) -> ingest_pb2.DeleteImagesResponse:
        """Deletes images by id, uri or filter."""
        for field, given in (("image_ids", request.image_ids), ("uris", request.uris)):
            if len(given) > MAX_DELETED:
                raise InvalidArgument(f"{field}: send at most {MAX_DELETED:,} in one call, not {len(given):,}")
        image_ids = dict.fromkeys([*request.image_ids, *map(image_id_of, request.uris)])
        if request.filter.strip():
            image_ids |= dict.fromkeys(await self._store.ids_matching(request.collection, request.filter))
        elif not image_ids:
            raise InvalidArgument("image_ids, uris, filter: say what to delete with at least one of them")
        deadline = Deadline.of(context, max_s=self._max_time_s)
        deleted = await self._store.delete(request.collection, list(image_ids), deadline)
        self._maintenance.note_deleted(deleted.sha256s)
        return ingest_pb2.DeleteImagesResponse(deleted_count=deleted.image_count, warnings=_warnings(request.filter))

    async def GetImage(self, request: ingest_pb2.GetImageRequest, context: Context) -> ingest_pb2.GetImageResponse:
        """Reads one image."""
        key = request.WhichOneof("key")
        if key is None or not getattr(request, key):
            raise InvalidArgument("image_id, uri: say which image with one of them")
        collection = await self._store.get(request.collection)
        image_id = request.image_id if key == "image_id" else image_id_of(request.uri)
        return stored_image_message(await self._store.image(collection.name, image_id), collection.mode)

    async def ListImages(
        self, request: ingest_pb2.ListImagesRequest, context: Context
    ) -> ingest_pb2.ListImagesResponse:
        """Lists images page by page."""
        if request.page_size < 0:
            raise InvalidArgument(f"page_size: it must not be negative; 0 means {DEFAULT_PAGE_SIZE}")
        records, next_page_token = await self._store.page(
            request.collection,
            filter=request.filter,
            page_size=min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
            page_token=request.page_token,
        )
        return ingest_pb2.ListImagesResponse(
            images=[image_message(record) for record in records],
            next_page_token=next_page_token,
            warnings=_warnings(request.filter),
        )

    async def Reindex(
        self, request: ingest_pb2.ReindexRequest, context: Context
    ) -> AsyncIterator[ingest_pb2.ReindexResponse]:
        """Moves a collection to another encoder, or back."""
        moving = self._reindexer.reindex(
            request.collection, request.encoder, rollback=request.rollback, drop_old=request.drop_old
        )
        async with aclosing(moving) as all_progress:
            async for progress in all_progress:
                yield ingest_pb2.ReindexResponse(
                    done_count=progress.done_count,
                    total_count=progress.total_count,
                    failed_count=progress.failed_count,
                )

    async def Scrub(
        self, request: ingest_pb2.ScrubRequest, context: Context
    ) -> AsyncIterator[ingest_pb2.ScrubResponse]:
        """Compares the stores and the kept files, and repairs what differs where that is asked for."""
        async with aclosing(self._scrubber.scrub(request.collection, repair=request.repair)) as all_news:
            async for news in all_news:
                yield scrub_message(news)

    async def StartJob(self, request: ingest_pb2.StartJobRequest, context: Context) -> ingest_pb2.StartJobResponse:
        """Starts a job."""
        return ingest_pb2.StartJobResponse(job=job_message(await self._jobs.start(order_of(request))))

    async def GetJob(self, request: jobs_pb2.GetJobRequest, context: Context) -> jobs_pb2.GetJobResponse:
        """Reads one job."""
        return jobs_pb2.GetJobResponse(job=job_message(await self._jobs.get(request.id)))

    async def ListJobs(self, request: jobs_pb2.ListJobsRequest, context: Context) -> jobs_pb2.ListJobsResponse:
        """Reads all jobs."""
        return jobs_pb2.ListJobsResponse(jobs=map(job_message, await self._jobs.all(request.collection)))

    async def WatchJob(
        self, request: jobs_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[jobs_pb2.WatchJobResponse]:
        """Follows a job to its end."""
        async with aclosing(self._jobs.watch(request.id)) as states:
            async for job in states:
                yield jobs_pb2.WatchJobResponse(job=job_message(job))

    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: Context) -> jobs_pb2.CancelJobResponse:
        """Ends a job."""
        return jobs_pb2.CancelJobResponse(job=job_message(await self._jobs.cancel(request.id)))

    def _message(self, collection: Collection, counts: Counts | None) -> ingest_pb2.Collection:
        return collection_message(collection, counts, suggested_encoder=self._collections.suggested_encoder(collection))


def _warnings(filter_text: str) -> tuple[str, ...]:
    return warnings_of(parse_filter(filter_text))


async def _items(
    first: ingest_pb2.IngestRequest, requests: AsyncIterator[ingest_pb2.IngestRequest]
) -> AsyncIterator[Item | Failed]:
    collection = first.collection
    if first.HasField("item"):
        yield item_or_failure(first, collection)
    del first
    async for request in requests:
        yield item_or_failure(request, collection)
