import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.errors import InvalidArgument
from services.stores.expression import Engine, expression_of, kinds_of, quote
from services.stores.filter import AllOf, AnyOf, Comparison, Exists, Membership, Not, Prefix, parse_filter


def test_and_binds_tighter_than_or() -> None:
    """`a or b and c` is `a or (b and c)`, and words may be in any case."""
    tree = parse_filter("a = 1 OR b = 'x' and NOT exists c.d")

    assert isinstance(tree, AnyOf)
    first, second = tree.terms
    assert isinstance(first, Comparison)
    assert isinstance(second, AllOf)
    assert isinstance(second.terms[1], Not)
    assert isinstance(second.terms[1].term, Exists)
    assert second.terms[1].term.field.path == ("c", "d")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a = 'it\\'s'", "it's"),
        ('a = "say \\"hi\\""', 'say "hi"'),
        ("a = 'a\\nb\\\\'", "a\nb\\"),
        ("a = 5", 5),
        ("a = -2.5e3", -2500.0),
        ("a = TRUE", True),
        ("a = null", None),
        ("a = 99999999999999999999", 1e20),
    ],
)
def test_literals(text: str, value: object) -> None:
    """Texts in either quotes with escapes, numbers, truths and null."""
    tree = parse_filter(text)
    assert isinstance(tree, Comparison)
    assert tree.value == value
    assert type(tree.value) is type(value)


def test_lists_and_prefixes() -> None:
    """`in` takes a list of any kinds, `like` a prefix."""
    membership, prefix = parse_filter("a in (1, 'x', null)"), parse_filter("a like 'sum_%'")
    assert isinstance(membership, Membership)
    assert membership.values == (1, "x", None)
    assert isinstance(prefix, Prefix)
    assert prefix.prefix == "sum_"


@pytest.mark.parametrize("empty", ["", "   ", "\n\t"])
def test_an_empty_filter_is_none(empty: str) -> None:
    """Blank text filters nothing."""
    assert parse_filter(empty) is None
    assert expression_of(None, Engine.LITE) == ""


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a =", 3),
        ("a = 'x", 4),
        ("(a = 1", 6),
        ("a = 1)", 5),
        ("a like 'x'", 7),
        ("a like '%x%'", 7),
        ("a ; 1", 2),
        ("1 = 1", 0),
        ("a in ()", 6),
        ("a in (1,)", 8),
        ("a = 5x", 4),
        ("a > true", 2),
        ("a = b", 4),
        ("a = 1 b = 2", 6),
        ("and = 1", 0),
        ("a = 1e999", 4),
        ("not", 3),
        ("(" * 21 + "a = 1" + ")" * 21, 20),
        ("a in (" + ",".join(["1"] * 1001) + ")", 2007),
    ],
)
def test_errors_say_where(text: str, position: int) -> None:
    """What cannot be read is INVALID_ARGUMENT with its position."""
    with pytest.raises(InvalidArgument, match=rf"^filter: .* at position {position}$"):
        parse_filter(text)


def test_length_is_bounded() -> None:
    """A filter of more than 4,096 characters is not even read."""
    with pytest.raises(InvalidArgument, match="4097 characters"):
        parse_filter("a" * 4097)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    """No text makes the parser fail in another way, and none that it takes fails to become an expression."""
    try:
        tree = parse_filter(text)
        expression_of(tree, Engine.SERVER)
    except InvalidArgument as error:
        assert error.message.startswith("filter: ")  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("text", ["label > 3", "width_px = 'wide'", "score = true", "uri in ('a', 5)"])
def test_built_in_fields_have_a_type(text: str) -> None:
    """A built-in field compared with another type is the caller's mistake."""
    with pytest.raises(InvalidArgument, match=r"is a (text|number) at position 0"):
        expression_of(parse_filter(text), Engine.SERVER)


def test_lite_says_what_it_cannot_compare() -> None:
    """The one text that Milvus Lite cannot say is refused, not changed."""
    assert quote("a\rb", Engine.SERVER) == "'a\\rb'"
    with pytest.raises(InvalidArgument, match="carriage return"):
        quote("a\rb", Engine.LITE)


def test_kinds_keep_the_shape_of_metadata() -> None:
    """Each value's kind stands where the value stands; null is absent."""
    assert kinds_of({"a": 1, "b": {"c": "x", "d": None}, "e": [1], "f": True}) == {
        "a": "number",
        "b": {"c": "text", "=": "other"},
        "e": "other",
        "f": "truth",
    }
