"""Items are checked when their message is read."""

import pytest

from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument
from services.ingest.messages import item_of, mode_of


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
    """A zero-byte upload is a bad image, and does not mean that the uri is to be read."""
    assert item_of(ingest_pb2.Item(uri="a", image=b"")).image == b""
    assert item_of(ingest_pb2.Item(uri="a")).image is None


def test_bytes_are_kept_unless_refused() -> None:
    """Callers that do not know the field keep their bytes."""
    kept = [item_of(ingest_pb2.Item(uri="a", image=b"", keep=asked)).keep for asked in (None, True, False)]
    assert kept == [True, True, False]


def test_a_mode_must_exist() -> None:
    """A number from a newer contract is refused instead of guessed."""
    message = ingest_pb2.Collection(name="a")
    message.mode = 7  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match=r"collection\.mode"):
        mode_of(message)
