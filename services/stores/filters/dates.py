"""Dates in filters: `2024`, `2024-05`, `2024-05-01` and `2024-05-01T12:30` stand for every moment in them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.exif import DATE_FIELD
from rpc.errors import InvalidArgument
from services.stores.filters.tokens import error_at
from services.stores.filters.tree import Condition, Field, Filter, Junction, Not, Value

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?)?", re.ASCII)
_EXAMPLE = 'a date such as "2024", "2024-05-01" or "2024-05-01T12:30"'
_FIRST = ["0001", "01", "01", "00", "00", "00"]
_END_OF_TIME = "9999-12-31T24:00:00"  # after every date that is stored


def with_dates(tree: Filter) -> Filter:
    """The tree with comparisons of `$taken` as comparisons of moments, texts that both engines order as the dates are."""
    match tree:
        case Not(term):
            return Not(with_dates(term))
        case Junction(word, terms):
            return Junction(word, tuple(map(with_dates, terms)))
        case Condition(field) if field.is_built_in and field.path == (DATE_FIELD,) and tree.operator != "exists":
            return _moments(tree)
        case _:
            return tree


def _moments(condition: Condition) -> Filter:
    field, values = condition.field, condition.values
    if condition.operator == "in":
        return _any_of(field, [_period(field, value) for value in values])
    if condition.operator == "like":
        raise _not_a_date(field)
    start, end = _period(field, values[0])
    match condition.operator:
        case "<" | ">=":
            return Condition(field, condition.operator, (start,))
        case "<=":
            return Condition(field, "<", (end,))
        case _:
            return Condition(field, ">=", (end,))


def _any_of(field: Field, periods: Sequence[tuple[str, str]]) -> Filter:
    terms = tuple(
        Junction("and", (Condition(field, ">=", (start,)), Condition(field, "<", (end,)))) for start, end in periods
    )
    return terms[0] if len(terms) == 1 else Junction("or", terms)


def _period(field: Field, value: Value) -> tuple[str, str]:
    """The first moment of a date, and the first one after it."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _not_a_date(field)
    given = [each for each in match.groups() if each]
    year, month, day, hour, minute, second = given + _FIRST[len(given) :]
    try:
        start = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second}")
    except ValueError as error:
        raise _not_a_date(field) from error
    try:
        return start.isoformat(), _after(start, len(given)).isoformat()
    except (OverflowError, ValueError):
        return start.isoformat(), _END_OF_TIME


def _after(start: datetime, precision: int) -> datetime:
    match precision:
        case 1:
            return start.replace(year=start.year + 1)
        case 2:
            return (start + timedelta(days=31)).replace(day=1)
        case 3:
            return start + timedelta(days=1)
        case 5:
            return start + timedelta(minutes=1)
        case _:
            return start + timedelta(seconds=1)


def _not_a_date(field: Field) -> InvalidArgument:
    return error_at(field.position, f"{field} is compared with {_EXAMPLE}")
