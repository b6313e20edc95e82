"""Metadata is checked once, where it comes in, and means the same on every way."""

import json
import math
from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import MAX_METADATA_LEVELS
from rpc.errors import InvalidArgument
from rpc.metadata import checked, metadata_of, struct_of, struct_of_json

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(1 - 2**53, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=10
)


def nested(levels: int, *, in_lists: bool = False) -> dict[str, Any]:
    """Metadata of so many levels."""
    value: Any = 1
    for _ in range(levels - 1):
        value = [value] if in_lists else {"a": value}
    return {"a": value}


@given(st.dictionaries(keys, values, max_size=4))
def test_what_was_sent_comes_back(given_metadata: dict[str, Any]) -> None:
    """Metadata survives the wire: numbers are whole where they were, texts are in composed form."""
    try:
        metadata = checked(given_metadata)
    except InvalidArgument as error:
        assert "Unicode form" in error.message  # noqa: PT017 - the only fault that these can have
        return
    assert metadata_of(struct_of_json(given_metadata)) == metadata
    assert metadata_of(struct_of(metadata)) == metadata


def test_whole_numbers_stay_whole() -> None:
    """A message knows doubles only, a year is still an integer."""
    got = metadata_of(struct_of_json({"year": 1999, "price": 2.5}))
    assert got == {"year": 1999, "price": 2.5}
    assert type(got["year"]) is int


@given(st.integers().filter(lambda n: abs(n) >= 2**53) | st.integers(2**53, 2**53 + 3), st.booleans())
def test_integers_beyond_doubles_are_refused(number: int, in_list: bool) -> None:  # noqa: FBT001
    """An integer that would lose digits is refused by name, wherever it stands."""
    value: Any = [1, number] if in_list else number
    path = r"metadata\.shop\.id\[1\]" if in_list else r"metadata\.shop\.id"
    with pytest.raises(InvalidArgument, match=rf"^{path}: .* send it as text"):
        struct_of_json(json.loads(json.dumps({"shop": {"id": value}})))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(number: float) -> None:
    """JSON has no NaN, wherever it hides."""
    message = struct_pb2.Struct()
    message.update({"nested": {"list": [1, number]}})
    with pytest.raises(InvalidArgument, match=r"^item\.metadata\.nested\.list\[1\]: .* finite"):
        metadata_of(message, name="item.metadata")


def test_size_is_bounded() -> None:
    """16 KiB of compact JSON are taken, one byte more is not, on every way."""
    fits = {"e": "é" * 8_188}  # {"e":""} is 8 bytes
    metadata_of(struct_of_json(fits))
    with pytest.raises(InvalidArgument, match="16 KiB"):
        checked({"e": fits["e"] + "x"})


@pytest.mark.parametrize("in_lists", [False, True])
@pytest.mark.parametrize("levels", [MAX_METADATA_LEVELS + 1, 33, 500])
def test_depth_is_bounded(levels: int, in_lists: bool) -> None:  # noqa: FBT001
    """16 levels are taken, more are refused before they reach a decoder that gives up."""
    assert metadata_of(struct_of_json(nested(MAX_METADATA_LEVELS, in_lists=in_lists))) == nested(
        MAX_METADATA_LEVELS, in_lists=in_lists
    )
    with pytest.raises(InvalidArgument, match="nested deeper than 16 levels"):
        struct_of_json(nested(levels, in_lists=in_lists))


@pytest.mark.parametrize("levels", [MAX_METADATA_LEVELS, MAX_METADATA_LEVELS + 1, 40])
def test_deep_metadata_of_earlier_releases_is_readable(levels: int) -> None:
    """What lies deeper than is taken today is answered as JSON text, so that no answer is too deep to be decoded."""
    value: Any = metadata_of(struct_of(nested(levels)))
    for _ in range(min(levels, MAX_METADATA_LEVELS)):
        value = value["a"]
    assert value == 1 if levels <= MAX_METADATA_LEVELS else json.loads(value) == nested(levels - MAX_METADATA_LEVELS)


def test_texts_and_keys_are_composed() -> None:
    """Both Unicode forms of a text are one; two keys that differ in nothing else cannot both be kept."""
    assert checked({"cafe\u0301": ["e\u0301"]}) == {"caf\u00e9": ["\u00e9"]}
    with pytest.raises(InvalidArgument, match="Unicode form"):
        checked({"a": {"\u00e9": 1, "e\u0301": 2}})


@pytest.mark.parametrize("value", [[], "words", 3, None])
def test_metadata_is_an_object(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidArgument, match=r"^metadata: it has to be a JSON object"):
        struct_of_json(value)


def test_half_characters_are_refused() -> None:
    """Half of a surrogate pair is not text."""
    with pytest.raises(InvalidArgument, match="surrogate"):
        struct_of_json({"a": "\ud800"})
