"""What a filter means, said in Python: the reference that the engines are held against."""

from typing import Any

from services.stores.conditions import (
    AllOf,
    AnyOf,
    Comparison,
    Exists,
    Field,
    Filter,
    Has,
    Membership,
    Not,
    Prefix,
    Value,
)


def holds(tree: Filter, fields: dict[str, Any]) -> bool:  # noqa: PLR0911 - one for each kind of node
    """Whether a picture matches; `fields` has its `metadata` and the built-in fields."""
    match tree:
        case Not(term):
            return not holds(term, fields)
        case AllOf(terms):
            return all(holds(term, fields) for term in terms)
        case AnyOf(terms):
            return any(holds(term, fields) for term in terms)
        case Exists(field):
            return _value(field, fields) is not None
        case Membership(field, values):
            return any(_equal(_value(field, fields), value) for value in values)
        case Prefix(field, prefix):
            found = _value(field, fields)
            return isinstance(found, str) and found.startswith(prefix)
        case Has(field, value):
            found = _value(field, fields)
            return isinstance(found, list) and any(_equal(item, value) for item in found)
        case Comparison(field, operator, value):
            return _ordered(_value(field, fields), operator, value)


def _value(field: Field, fields: dict[str, Any]) -> Any:
    if field.is_built_in:
        return fields[field.path[0]]
    value: Any = fields["metadata"]
    for key in field.path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _equal(found: Any, value: Value) -> bool:
    return _kind(found) is _kind(value) and found == value


def _ordered(found: Any, operator: str, value: Any) -> bool:
    if _kind(found) is not _kind(value):
        return False
    if operator in {"<=", ">="} and found == value:
        return True
    return bool(found < value if operator in {"<", "<="} else found > value)
