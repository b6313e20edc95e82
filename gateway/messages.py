"""Proto messages as JSON: how they are read, written and told to OpenAPI, so that no type is declared twice."""

from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from pydantic import BaseModel

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

_STRUCT = "google.protobuf.Struct"
_EXACT = 2**53

_WELL_KNOWN: dict[str, dict[str, Any]] = {
    _STRUCT: {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.rpc.Status": {"type": "object", "description": "A problem document (RFC 9457)."},
}


def to_json(message: Message) -> dict[str, Any]:
    """The message under its proto field names, zeros and empty lists included; 64-bit integers are numbers."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return _with_integers(fields, cast("Descriptor", message.DESCRIPTOR))


def _with_integers(fields: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """The fields with numbers where the proto mapping writes 64-bit integers as text and a Struct's integers as 3.0."""
    kinds = descriptor.fields_by_name
    return {
        name: [_with_integer(each, kinds[name]) for each in value]
        if kinds[name].is_repeated
        else _with_integer(value, kinds[name])
        for name, value in fields.items()
    }


def _with_integer(value: Any, field: FieldDescriptor) -> Any:
    # The proto mapping writes them as strings for JavaScript's sake; our counts stay far below 2**53.
    if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64:
        return int(value)
    if field.message_type is None or not isinstance(value, dict):
        return value
    if field.message_type.full_name == _STRUCT:
        return _integers(value)
    return value if field.message_type.full_name in _WELL_KNOWN else _with_integers(value, field.message_type)


def _integers(value: Any) -> Any:
    """JSON with each whole number as an integer; a double holds them exactly below 2**53."""
    if isinstance(value, dict):
        return {name: _integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def read_json(body: Any, message: _M) -> _M:
    """Fills the message from JSON under proto or camelCase names; InvalidArgument says what does not fit."""
    try:
        return ParseDict(body, message)
    except (ParseError, ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        # json_format names most of what does not fit; the rest is what Python says of the values.
        raise InvalidArgument(f"the body does not fit {message.DESCRIPTOR.name}: {error}") from error


def json_answer(descriptor: Descriptor, description: str) -> dict[str, Any]:
    """An OpenAPI response that carries this message."""
    return {"description": description, "content": {"application/json": {"schema": schema_of(descriptor)}}}


def model_request(model: type[BaseModel]) -> dict[str, Any]:
    """The part of an OpenAPI operation that describes a JSON body read as this model."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


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
