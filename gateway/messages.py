"""Proto messages as JSON: how they are read, written and told to OpenAPI, so that no type is declared twice."""

from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from rpc.errors import InvalidArgument

_M = TypeVar("_M", bound=Message)

_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer"},
}

_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.rpc.Status": {"type": "object", "description": "A problem document (RFC 9457)."},
}


def to_json(message: Message) -> dict[str, Any]:
    """The message under its proto field names, zeros and empty lists included; 64-bit integers are numbers."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    # The proto mapping writes them as strings for JavaScript's sake; our counts stay far below 2**53.
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64:
            fields[field.name] = getattr(message, field.name)
    return fields


def read_json(body: Any, message: _M) -> _M:
    """Fills the message from JSON under proto or camelCase names; InvalidArgument says what does not fit."""
    try:
        return ParseDict(body, message)
    except ParseError as error:
        raise InvalidArgument(f"the body is no {message.DESCRIPTOR.name}: {error}") from error


def json_answer(descriptor: Descriptor, description: str) -> dict[str, Any]:
    """An OpenAPI response that carries this message."""
    return {"description": description, "content": {"application/json": {"schema": schema_of(descriptor)}}}


def schema_of(descriptor: Descriptor) -> dict[str, Any]:
    """The JSON schema of a message as `to_json` writes it."""
    if descriptor.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[descriptor.full_name]
    properties = {field.name: _schema_of_field(field) for field in descriptor.fields}
    return {"type": "object", "title": descriptor.name, "properties": properties}


def _schema_of_field(field: FieldDescriptor) -> dict[str, Any]:
    schema = _schema_of_value(field)
    return {"type": "array", "items": schema} if field.is_repeated else schema


def _schema_of_value(field: FieldDescriptor) -> dict[str, Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    if field.message_type is not None:
        return schema_of(field.message_type)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    return _SCALARS[field.cpp_type]
