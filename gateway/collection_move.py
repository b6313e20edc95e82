"""The work of a job: a collection's move to another encoder, which the ingest service does and tells the progress of."""

import asyncio
from typing import Any

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendCall
from gateway.jobs import Job
from rpc.errors import DeadlineExceeded, service_errors


class CollectionMove:
    """A call of `Reindex` that the ingest service has accepted."""

    def __init__(self, stream: Any, first: ingest_pb2.ReindexResponse) -> None:
        self._stream = stream  # a call of grpc.aio, whose class only its stubs have
        self._first = first

    @classmethod
    async def begin(cls, request: ingest_pb2.ReindexRequest, call: BackendCall, *, max_s: float) -> "CollectionMove":
        """Begin a move that may take `max_s` seconds; raises the ServiceError of a request that cannot be fulfilled."""
        stream = call.backends.ingest.Reindex(request, timeout=max_s, metadata=call.metadata)
        try:
            with service_errors("ingest"):
                async with asyncio.timeout(call.deadline.left_s()):
                    first = await anext(aiter(stream))
        except BaseException as error:
            stream.cancel()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("ingest: the move did not begin in time; try again") from error
            raise
        return cls(stream, first)

    async def follow(self, job: Job) -> None:
        """Tell a job how far the move is, until it has ended."""
        try:
            _show(self._first, job)
            with service_errors("ingest"):
                async for response in self._stream:
                    _show(response, job)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the call, and with it the move, unless it has ended."""
        self._stream.cancel()


def _show(response: ingest_pb2.ReindexResponse, job: Job) -> None:
    job.embedded(response.done_count, response.failed_count, response.total_count)
