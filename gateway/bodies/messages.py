"""Proto messages as JSON, under their proto field names."""

from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from rpc.errors import InvalidArgument

_STRUCT = "google.protobuf.Struct"
_VALUE = "google.protobuf.Value"

WELL_KNOWN: dict[str, dict[str, Any]] = {
    _STRUCT: {"type": "object"},
    _VALUE: {"type": ["string", "number", "boolean"]},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.rpc.Status": {"type": "object", "description": "A problem document (RFC 9457)."},
}
"""The messages that JSON writes in a form of their own, with the schema of that form."""

# Doubles hold every integer below this one.
_EXACT = 2**53

_Message = TypeVar("_Message", bound=Message)


def to_json(message: Message) -> dict[str, Any]:
    """The message with its zeros and empty lists; 64-bit integers are numbers."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return _with_integers(fields, cast("Descriptor", message.DESCRIPTOR))


def read_json(body: Any, message: _Message) -> _Message:
    """Fills the message from JSON under proto or camelCase names; bytes are base64, also in a data URI.

    Raises InvalidArgument.
    """
    try:
        return ParseDict(_without_data_uris(body, cast("Descriptor", message.DESCRIPTOR)), message)
    except (ParseError, ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        # ParseDict checks most values itself; for the rest Python's own errors escape from it.
        raise InvalidArgument(f"the body does not fit {message.DESCRIPTOR.name}: {error}") from error


def _without_data_uris(body: Any, descriptor: Descriptor) -> Any:
    """The body with base64 alone where a field of bytes has `data:image/…;base64,…`, as browsers and other APIs write it."""
    if isinstance(body, list):
        return [_without_data_uris(each, descriptor) for each in body]
    if not isinstance(body, dict) or descriptor.full_name in WELL_KNOWN:
        return body
    fields = {**descriptor.fields_by_name, **descriptor.fields_by_camelcase_name}
    return {name: _plain(value, fields[name]) if name in fields else value for name, value in body.items()}


def _plain(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return _without_data_uris(value, field.message_type)
    if field.type != FieldDescriptor.TYPE_BYTES or not isinstance(value, str) or not value.startswith("data:"):
        return value
    head, _, content = value.partition(",")
    if not head.endswith(";base64"):
        raise InvalidArgument(f"{field.name}: a data URI begins with data:image/…;base64,")
    return content


def _with_integers(fields: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """The fields with numbers where the proto mapping writes 64-bit integers as text and a Struct's integers as 3.0."""
    kinds = descriptor.fields_by_name
    return {name: _with_integers_in(value, kinds[name]) for name, value in fields.items()}


def _with_integers_in(value: Any, field: FieldDescriptor) -> Any:
    if not field.is_repeated:
        return _with_integer(value, field)
    # A map is an object; the only ones that the contracts have are of texts.
    return [_with_integer(each, field) for each in value] if isinstance(value, list) else value


def _with_integer(value: Any, field: FieldDescriptor) -> Any:
    # The mapping writes 64-bit integers as text, since JavaScript's numbers are doubles; our counts stay below 2**53.
    if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}:
        return int(value)
    if field.message_type is not None and field.message_type.full_name in (_STRUCT, _VALUE):
        return _integers(value)
    if field.message_type is None or not isinstance(value, dict):
        return value
    return value if field.message_type.full_name in WELL_KNOWN else _with_integers(value, field.message_type)


def _integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value
