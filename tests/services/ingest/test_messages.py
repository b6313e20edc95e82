"""Items are checked where they come in."""

import math
from typing import Any

import pytest
from google.protobuf import struct_pb2

from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument
from services.ingest.messages import item_of, metadata_of, new_collection_of


def struct(**fields: Any) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(fields)
    return message


def test_metadata_comes_through_as_it_was_written() -> None:
    """Whole numbers stay whole, nesting and nulls stay."""
    given = {"year": 1999, "price": 2.5, "tags": ["a", 1, None], "nested": {"deep": True}, "名": "é\0"}
    got = metadata_of(struct(**given))
    assert got == given
    assert type(got["year"]) is int


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_metadata_numbers_are_finite(number: float) -> None:
    """JSON has no NaN, wherever it hides."""
    with pytest.raises(InvalidArgument, match=r"item\.metadata"):
        metadata_of(struct(nested={"list": [1, number]}))


def test_metadata_is_bounded() -> None:
    """16 KiB are taken, more is not."""
    metadata_of(struct(text="x" * (16 * 1024 - 12)))
    with pytest.raises(InvalidArgument, match="16 KiB"):
        metadata_of(struct(text="x" * (16 * 1024 - 11)))


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (ingest_pb2.Item(), "item:"),
        (ingest_pb2.Item(uri="a\0b"), r"item\.uri:"),
        (ingest_pb2.Item(uri="é" * 2049), r"item\.uri:"),
    ],
)
def test_bad_items_name_the_field(item: ingest_pb2.Item, field: str) -> None:
    """The message begins with the field at fault."""
    with pytest.raises(InvalidArgument, match=f"^{field}"):
        item_of(item)


def test_empty_bytes_are_bytes() -> None:
    """A zero-byte upload is a bad picture, not a wish to read the uri."""
    assert item_of(ingest_pb2.Item(uri="a", image=b"")).image == b""
    assert item_of(ingest_pb2.Item(uri="a")).image is None


def test_bytes_are_kept_unless_refused() -> None:
    """Callers of before the field keep what they had."""
    kept = [item_of(ingest_pb2.Item(uri="a", image=b"", keep=asked)).keep for asked in (None, True, False)]
    assert kept == [True, True, False]


def test_a_mode_must_exist() -> None:
    """A number from a newer contract is refused instead of guessed."""
    message = ingest_pb2.Collection(name="a")
    message.mode = 7  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match=r"collection\.mode"):
        new_collection_of(message)
