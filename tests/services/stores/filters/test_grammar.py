import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.errors import InvalidArgument
from rpc.metadata import composed
from services.stores.filters.expression import Engine, expression_of, kinds_of, quote
from services.stores.filters.grammar import parse_filter
from services.stores.filters.tree import Condition, Junction, Not, warnings_of


def test_and_binds_tighter_than_or() -> None:
    """`a or b and c` is `a or (b and c)`, and words may be in any case."""
    tree = parse_filter("a = 1 OR b = 'x' and NOT exists c.d")

    assert isinstance(tree, Junction)
    first, second = tree.terms
    assert isinstance(first, Condition)
    assert isinstance(second, Junction)
    assert isinstance(second.terms[1], Not)
    assert isinstance(second.terms[1].term, Condition)
    assert (tree.word, first.operator, second.word) == ("or", "in", "and")
    assert second.terms[1].term.operator == "exists"
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
        ("a = 9007199254740991", 2**53 - 1),
        ("a = 1e20", 1e20),
    ],
)
def test_literals(text: str, value: object) -> None:
    """Texts in either quotes with escapes, numbers and truths."""
    tree = parse_filter(text)
    assert isinstance(tree, Condition)
    assert tree.operator == "in"
    [found] = tree.values
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("sign", "other"), [("=", "in"), ("!=", "not in")])
@pytest.mark.parametrize("literal", ["5", "-0.0", "1e3", "'x'", "true", "null"])
def test_equality_is_a_membership(sign: str, other: str, literal: str) -> None:
    """`x = v` is read as `x in (v)`, so that no engine can tell them apart."""
    same = f"a {other} ({literal})"
    assert expression_of(parse_filter(f"a {sign} {literal}"), Engine.LITE) == expression_of(
        parse_filter(same), Engine.LITE
    )


@given(st.integers().filter(lambda n: abs(n) >= 2**53) | st.integers(2**53, 2**53 + 9))
def test_integers_beyond_doubles_are_refused(number: int) -> None:
    """An integer of 2^53 or more would match its neighbours, so the error says to use text."""
    for text in (f"a = {number}", f"a != {number}", f"a in (1, {number})", f"a < {number}", f"a has {number}"):
        with pytest.raises(InvalidArgument, match=r"is beyond 2\^53 .* store such ids as text"):
            parse_filter(text)


def test_lists_and_prefixes() -> None:
    """`in` takes a list of any kinds, `like` a prefix."""
    membership, prefix = parse_filter("a in (1, 'x', true)"), parse_filter("a like 'sum_%'")
    assert isinstance(membership, Condition)
    assert (membership.operator, membership.values) == ("in", (1, "x", True))
    assert isinstance(prefix, Condition)
    assert (prefix.operator, prefix.values) == ("like", ("sum_",))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("`a.b` = 1", ("a.b",)),
        ("exif.`exif:iso` = 1", ("exif", "exif:iso")),
        ("`camera make`.x = 1", ("camera make", "x")),
        ("`2024` = 1", ("2024",)),
        ("`and` = 1", ("and",)),
        ("`it\\`s` = 1", ("it`s",)),
        ("`a\\\\b` = 1", ("a\\b",)),
        ("has = 1", ("has",)),
        ("gro\u0308\u00dfe = 1", ("gr\u00f6\u00dfe",)),
        ("रंग = 1", ("रंग",)),
    ],
)
def test_names(text: str, path: tuple[str, ...]) -> None:
    """Plain words, words of any script, dotted paths, and any key at all in backticks, in composed form."""
    tree = parse_filter(text)
    assert isinstance(tree, Condition)
    assert tree.field.path == path
    assert not tree.field.is_built_in


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4))
def test_any_key_can_be_quoted(keys: list[str]) -> None:
    """A path of any keys is read back as it was written, composed."""
    tree = parse_filter(
        ".".join(f"`{key.replace(chr(92), chr(92) * 2).replace('`', chr(92) + '`')}`" for key in keys) + " has 1"
    )
    assert isinstance(tree, Condition)
    assert tree.operator == "has"
    assert tree.field.path == tuple(composed(key) for key in keys)


def test_plain_names_of_built_in_fields_are_warned_of() -> None:
    """A plain name is metadata; one that used to be a built-in field says how the field is called now."""
    tree = parse_filter("label = 'cat' and not (score > 0.5 or label.x = 1) and $uri = 'a' and colour = 'red'")

    assert warnings_of(tree) == (
        "filter: label is the metadata key label; for the built-in field write $label",
        "filter: score is the metadata key score; for the built-in field write $score",
    )
    assert warnings_of(parse_filter("$label = 'cat'")) == warnings_of(None) == ()


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
        ("`a", 0),
        ("`` = 1", 0),
        ("a.`` = 1", 0),
        ("'camera make' = 1", 0),
        ("$unknown = 1", 0),
        ("$ = 1", 0),
        ("a has null", 6),
        ("$label has 'x'", 11),
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


@pytest.mark.parametrize("text", ["$label > 3", "$width_px = 'wide'", "$score = true", "$uri in ('a', 5)"])
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
    assert kinds_of({"a": 1, "b": {"c": "x", "d": None}, "e": [1, "x", True, [2], None], "f": True, "=": 2}) == {
        "a": "number",
        "b": {"c": "text", "=": "other"},
        "e": {"1.0": 1, '"x': 1, "True": 1, "=": "other"},
        "f": "truth",
        "==": "number",
    }
