"""Decoding of `Ingest` messages, so that one item that protobuf cannot decode does not end the stream."""

from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.unknown_fields import UnknownFieldSet

from domain.limits import MAX_METADATA_LEVELS
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc

SERVICE = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name


def register(servicer: ingest_pb2_grpc.IngestServiceServicer, server: "grpc.aio.Server") -> None:
    """Add the service to a server; its `Ingest` reads items whose metadata is nested deeper than protobuf decodes."""
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(servicer, server)
    ingest = grpc.stream_stream_rpc_method_handler(
        servicer.Ingest,
        request_deserializer=request_of,
        response_serializer=ingest_pb2.IngestResponse.SerializeToString,
    )
    # Replaces the generated handler of this one method.
    server.add_registered_method_handlers(SERVICE, {"Ingest": ingest})  # type: ignore[attr-defined]  # the stubs lag


def request_of(message: bytes) -> ingest_pb2.IngestRequest:
    """The request; metadata too deep to decode is replaced by metadata just deep enough to be refused."""
    try:
        return ingest_pb2.IngestRequest.FromString(message)
    except DecodeError as error:
        if "MaxDepth" not in str(error):
            raise
    request = _fields(message)
    item = _fields(request.get(ingest_pb2.IngestRequest.ITEM_FIELD_NUMBER, b""))
    return ingest_pb2.IngestRequest(
        collection=request.get(ingest_pb2.IngestRequest.COLLECTION_FIELD_NUMBER, b"").decode(errors="replace"),
        item=ingest_pb2.Item(
            uri=item.get(ingest_pb2.Item.URI_FIELD_NUMBER, b"").decode(errors="replace"),
            image=b"",
            metadata=_too_deep(),
        ),
    )


def _fields(message: bytes) -> dict[int, Any]:
    """The fields of any message by number, not decoded further."""
    return {field.field_number: field.data for field in UnknownFieldSet(Empty.FromString(message))}  # type: ignore[attr-defined]


def _too_deep() -> Struct:
    value: dict[str, Any] = {}
    for _ in range(MAX_METADATA_LEVELS):
        value = {"…": value}
    message = Struct()
    message.update(value)
    return message
