"""Metadata, the JSON object that a caller attaches to an image: what may be in it, and its form on the wire.

A `google.protobuf.Struct` carries numbers as doubles and is decoded to a limited depth, so everything is checked where
it comes in from outside: as JSON by `struct_of_json`, as a message by `metadata_of`.
"""

import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from domain.limits import MAX_INTEGER, MAX_METADATA_BYTES, MAX_METADATA_LEVELS
from rpc.errors import InvalidArgument

_MAX_NAME = 200

Metadata = dict[str, Any]


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC), so that equal texts compare equal however they were typed."""
    return unicodedata.normalize("NFC", text)


def checked(metadata: Mapping[str, Any], *, name: str = "metadata") -> Metadata:
    """The metadata with composed texts and keys; InvalidArgument names the path of what cannot be kept."""
    kept = _checked_object(metadata, name, level=1)
    try:
        size = len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError as error:
        raise _refused(name, "a text holds half of a surrogate pair, which is not Unicode") from error
    if size > MAX_METADATA_BYTES:
        raise _refused(name, f"it is larger than {MAX_METADATA_BYTES >> 10} KiB as JSON")
    return kept


def struct_of_json(value: object, *, name: str = "metadata") -> Struct:
    """The message for metadata that was parsed from JSON, where integers are still exact; InvalidArgument as above."""
    if not isinstance(value, dict):
        raise _refused(name, "it has to be a JSON object")
    return struct_of(checked(value, name=name))


def metadata_of(struct: Struct, *, name: str = "metadata") -> Metadata:
    """The metadata of a message, checked as above."""
    return checked(_fields(struct), name=name)


def struct_of(metadata: Metadata) -> Struct:
    """The message for stored metadata; what earlier releases nested deeper than is allowed now becomes JSON text."""
    message = Struct()
    message.update({key: _cut(value, level=2) for key, value in metadata.items()})
    return message


def _checked_object(value: Mapping[str, Any], name: str, level: int) -> Metadata:
    kept = {composed(key): _checked(inner, f"{name}.{key}", level + 1) for key, inner in value.items()}
    if len(kept) < len(value):
        raise _refused(name, "two of its keys differ in their Unicode form only")
    return kept


def _checked(value: object, name: str, level: int) -> Any:
    match value:
        case str():
            return composed(value)
        case bool() | None:
            return value
        case int() | float():
            return _checked_number(value, name)
        case dict() | list() if level > MAX_METADATA_LEVELS:
            raise _refused(name, f"it is nested deeper than {MAX_METADATA_LEVELS} levels")
        case dict():
            return _checked_object(value, name, level)
        case list():
            return [_checked(inner, f"{name}[{index}]", level + 1) for index, inner in enumerate(value)]
    raise _refused(name, "only texts, numbers, true, false, null, lists and objects can be stored")


def _checked_number(number: float, name: str) -> float:
    if isinstance(number, int) and abs(number) > MAX_INTEGER:
        raise _refused(name, "integers of 2^53 and more are not kept exactly; send it as text")
    if not math.isfinite(number):
        raise _refused(name, "every number must be finite")
    return number


def _refused(name: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + '…'}: {why}")


def _cut(value: Any, level: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    # Decoders of the client's side give up at their own depth, and one such image would spoil a whole page of answers.
    if level > MAX_METADATA_LEVELS:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return {key: _cut(inner, level + 1) for key, inner in value.items()}
    return [_cut(inner, level + 1) for inner in value]


def _fields(struct: Struct) -> Metadata:
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _fields(value.struct_value)
    if kind == "list_value":
        return [_plain(inner) for inner in value.list_value.values]
    if kind == "number_value":
        return _number(value.number_value)
    return getattr(value, kind) if kind in {"string_value", "bool_value"} else None


def _number(number: float) -> float:
    """Whole numbers as integers: a message has doubles only, and `{"year": 1999}` must come back as it was sent."""
    return int(number) if number.is_integer() and abs(number) <= MAX_INTEGER else number
