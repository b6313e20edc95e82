import pytest

from rpc.errors import InvalidArgument
from services.stores.filters.grammar import parse_filter
from tests.services.stores.meaning import holds


@pytest.mark.parametrize(
    ("text", "taken", "expected"),
    [
        ("$taken = '2024'", "2024-12-31T23:59:59", True),
        ("$taken = '2024-12'", "2025-01-01T00:00:00", False),
        ("$taken = '2024-02'", "2024-02-29T12:00:00", True),
        ("$taken != '2024-02-29'", "2024-02-29T12:00:00", False),
        ("$taken <= '2024-05-01'", "2024-05-01T23:59:59", True),
        ("$taken > '2024-05-01'", "2024-05-01T23:59:59", False),
        ("$taken < '2024-05-01 12:30'", "2024-05-01T12:29:59", True),
        ("$taken >= '2024-05-01T12:30:01'", "2024-05-01T12:30:00", False),
        ("$taken in ('2023', '2024-05-01T12:30')", "2024-05-01T12:30:59", True),
        ("$taken <= '9999'", "9999-12-31T23:59:59", True),
        ("$taken = null", "2024-05-01T12:30:00", False),
        ("taken = '2024'", "2024-05-01T12:30:00", False),
    ],
)
def test_a_date_stands_for_every_moment_in_it(text: str, taken: str, *, expected: bool) -> None:
    """A year, a month, a day or a minute is as long as it is; plain names are metadata."""
    tree = parse_filter(text)
    assert tree is not None
    assert holds(tree, {"taken": taken, "metadata": {}}) is expected


@pytest.mark.parametrize("value", ["'2024-13'", "'yesterday'", "2024", "'2024-05-01T12:30:00Z'", "'٢٠٢٤'", "'0000'"])
def test_what_is_no_date_is_refused(value: str) -> None:
    """The error shows what a date looks like."""
    with pytest.raises(InvalidArgument, match=r"\$taken is compared with a date such as .* at position 0"):
        parse_filter(f"$taken >= {value}")
    with pytest.raises(InvalidArgument, match="is compared with a date"):
        parse_filter("$taken like '2024%'")
