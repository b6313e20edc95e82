"""The images of a collection as the ingest service lists and deletes them, for programs that compare them with files."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from fovea.ingest.v1 import ingest_pb2
from rpc.errors import service_errors

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

_PAGE_SIZE = 1000
_CALL_TIMEOUT_S = 60.0


class StoredImages:
    """One collection; failures are ServiceErrors. `metadata` travels with each call."""

    def __init__(
        self, stub: "IngestServiceAsyncStub", collection: str, metadata: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._stub = stub
        self._collection = collection
        self._metadata = metadata

    async def all(self) -> AsyncIterator[ingest_pb2.Image]:
        """Every image, by image_id; one page is held at a time."""
        request = ingest_pb2.ListImagesRequest(collection=self._collection, page_size=_PAGE_SIZE)
        while True:
            with service_errors("ingest"):
                page = await self._stub.ListImages(request, timeout=_CALL_TIMEOUT_S, metadata=self._metadata)
            for image in page.images:
                yield image
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete(self, uris: Sequence[str]) -> int:
        """Deletes images by uri; returns how many there were."""
        deleted = 0
        for start in range(0, len(uris), _PAGE_SIZE):
            request = ingest_pb2.DeleteImagesRequest(collection=self._collection, uris=uris[start : start + _PAGE_SIZE])
            with service_errors("ingest"):
                response = await self._stub.DeleteImages(request, timeout=_CALL_TIMEOUT_S, metadata=self._metadata)
            deleted += response.deleted_count
        return deleted
