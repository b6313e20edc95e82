import json
import time
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from fovea.search.v1 import search_pb2
from gateway.bodies.forms import FormFile, parse_form
from gateway.bodies.json_body import parse_json
from gateway.bodies.messages import read_json, to_json
from gateway.routes.search import query_of_form
from rpc.errors import InvalidArgument

TEXTS = st.text(st.characters(codec=None), max_size=8)
NUMBERS = st.integers() | st.integers(10**300, 10**400) | st.floats()
NAMES = (
    st.sampled_from(["parts", "limit", "filter", "min_score", "weight", "image", "region", "x_min", "exact"]) | TEXTS
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=400, deadline=None)
def test_any_json_is_read_or_the_callers_fault(value: Any) -> None:
    """Surrogates, huge numbers, NaN and wrong types are the caller's fault, never a bug."""
    text = json.dumps(value)
    for body, message in ((text, search_pb2.SearchRequest()), (f'{{"metadata": {text}}}', search_pb2.Hit())):
        try:
            read = read_json(parse_json(body), message)
        except InvalidArgument as error:
            error.message.encode()
        else:
            json.dumps(to_json(read), allow_nan=False).encode()


@given(st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_json_or_the_callers_fault(body: bytes) -> None:
    """What is not UTF-8, or not JSON, is refused."""
    try:
        parse_json(body)
    except InvalidArgument as error:
        error.message.encode()


@pytest.mark.parametrize(
    "text",
    [
        '"\\ud800"',
        '{"\\udfff": 1}',
        "NaN",
        "[-Infinity]",
        "1e999",
        "9" * 5000,
        "[" * 100_000,
        "[" * 25 + "]" * 25,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        "{}".encode("utf-16"),
        b"\xff",
        "",
    ],
)
def test_what_is_not_json_is_refused_by_name(text: str | bytes) -> None:
    """Python reads some of it; others could not read what we would answer."""
    with pytest.raises(InvalidArgument, match=r"^region: "):
        parse_json(text, "region")


def test_pairs_of_surrogates_are_characters() -> None:
    """An escaped character beyond the first plane is text like any other."""
    assert parse_json('"\\ud83d\\ude00"') == "😀"


def test_values_are_counted_before_they_are_parsed() -> None:
    """Millions of empty parts are refused in the time that reading their bytes takes."""
    body = b'{"parts":[' + b"{}," * 2_000_000 + b"{}]}"
    started_s = time.perf_counter()
    with pytest.raises(InvalidArgument, match="more than 10,000 values"):
        parse_json(body)
    counted_s = time.perf_counter() - started_s

    started_s = time.perf_counter()
    json.loads(body)
    assert counted_s < (time.perf_counter() - started_s) / 2


def test_whole_numbers_stay_integers() -> None:
    """A Struct holds doubles; 3 comes back as 3, at any depth, and 2.5 as it is."""
    hit = search_pb2.Hit(metadata=read_json({"id": 3, "deep": [{"id": -4}], "price": 2.5, "big": 1e300}, Struct()))
    written = json.dumps(to_json(search_pb2.SearchResponse(hits=[hit]))["hits"][0]["metadata"], sort_keys=True)

    assert written == '{"big": 1e+300, "deep": [{"id": -4}], "id": 3, "price": 2.5}'


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts with these heads and contents."""
    return b"".join(b"--xx\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + b"--xx--\r\n"


def field(name: str, *, filename: str | None = None) -> str:
    """The head of a part."""
    return f'Content-Disposition: form-data; name="{name}"' + (
        f'; filename="{filename}"' if filename is not None else ""
    )


MULTIPART = "multipart/form-data; boundary=xx"


@given(st.binary(max_size=200), st.binary(max_size=200).filter(lambda data: not data.startswith(b"x")))
@settings(deadline=None)
def test_bytes_of_files_arrive_as_they_are(first: bytes, second: bytes) -> None:
    """Any content survives, with empty lines, dashes and half a boundary in it."""
    # With an x after it the half would be the whole boundary.
    contents = [first, b"\r\n--x" + second + b"\r\n\r\n--"]
    form = parse_form(
        b"preamble\r\n" + multipart(*((field("f", filename="a"), data) for data in contents)) + b"epilogue",
        MULTIPART,
        max_files=2,
    )

    assert form.files == [FormFile("f", "a", data) for data in contents]


@given(st.lists(st.sampled_from([b"--xx", b"--xx--", b"\r\n", b"\r\n\r\n", b"a", b"\xff", field("text").encode()])))
@settings(max_examples=300, deadline=None)
def test_any_form_is_read_or_the_callers_fault(pieces: list[bytes]) -> None:
    """Every broken form is refused."""
    try:
        query_of_form(parse_form(b"".join(pieces), MULTIPART, max_files=8), "photos")
    except InvalidArgument as error:
        error.message.encode()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "last boundary"),
        (b"garbage", "last boundary"),
        (multipart((field("text"), b"red"))[:-6], "last boundary"),
        (multipart(("Content-Disposition: form-data", b"red")), "names no field"),
        (multipart(("X: y", b"red")), "names no field"),
        (multipart((field("text") + "\r\nX: " + "a" * 10_000, b"red")), "head"),
        (multipart((field("text"), b"\xff")), "text: the text is not UTF-8"),
        (multipart((field("text"), b"red"), (field("text"), b"blue")), "text: a form takes one"),
        (multipart((field("text"), bytes(2 << 20))), "at most 1 MiB"),
        (multipart(*[(field("text"), b"red")] * 100), "more than 72 parts"),
        (multipart(*[(field("image", filename="a"), b"red")] * 9), "more than 8 files"),
    ],
)
def test_broken_form_is_refused_by_what_is_broken(body: bytes, word: str) -> None:
    """The message names what is broken."""
    with pytest.raises(InvalidArgument, match=word):
        parse_form(body, MULTIPART, max_files=8)


@pytest.mark.parametrize("charset", ["utf-8", "raw_unicode_escape", "idna", "hex", "zlib", "utf-7", "../../x"])
def test_charset_of_a_form_changes_nothing(charset: str) -> None:
    """A form is UTF-8 (RFC 7578), even where the caller names another codec."""
    form = parse_form(
        multipart((field("text"), b"\\ud800 caf\xc3\xa9")), f"{MULTIPART}; charset={charset}", max_files=1
    )

    assert form.fields == {"text": "\\ud800 café"}


def test_form_needs_a_boundary_and_a_type() -> None:
    """Without them nothing says where a part ends."""
    with pytest.raises(InvalidArgument, match="boundary"):
        parse_form(b"", "multipart/form-data", max_files=1)
    with pytest.raises(HTTPException):
        parse_form(b"", "text/plain", max_files=1)
