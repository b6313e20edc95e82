"""A collector of OpenTelemetry: a gRPC server that keeps the spans that are sent to it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """One span, by the hexadecimal ids of its trace, itself, its parent and the spans that it is linked with."""

    process: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, str]
    duration_ms: float


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps all spans in `spans`."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.url = ""

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, _context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take spans of one process."""
        for sent in request.resource_spans:
            process = _values(sent.resource.attributes)["service.name"]
            self.spans += [_span(process, each) for scope in sent.scope_spans for each in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, process: str, name: str) -> list[CollectedSpan]:
        """The spans of a process whose name begins so."""
        return [each for each in self.spans if each.process == process and each.name.startswith(name)]


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector at `url`, until the end of the block."""
    server, kept = grpc.server(ThreadPoolExecutor(4)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    kept.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield kept
    finally:
        server.stop(0).wait()


def _span(process: str, sent: Any) -> CollectedSpan:
    return CollectedSpan(
        process,
        sent.name,
        sent.trace_id.hex(),
        sent.span_id.hex(),
        sent.parent_span_id.hex(),
        tuple(link.span_id.hex() for link in sent.links),
        _values(sent.attributes),
        (sent.end_time_unix_nano - sent.start_time_unix_nano) / 1e6,
    )


def _values(attributes: Any) -> dict[str, str]:
    return {each.key: str(getattr(each.value, each.value.WhichOneof("value"))) for each in attributes}
