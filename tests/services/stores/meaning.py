"""What a filter means, said in Python: the reference that the engines are held against."""

from typing import Any

from rpc.metadata import composed
from services.stores.filters.tree import Condition, Field, Filter, Junction, Not, Value


def holds(tree: Filter, fields: dict[str, Any]) -> bool:
    """Whether an image matches; `fields` has its `metadata` and the built-in fields."""
    match tree:
        case Not(term):
            return not holds(term, fields)
        case Junction("and", terms):
            return all(holds(term, fields) for term in terms)
        case Junction(_, terms):
            return any(holds(term, fields) for term in terms)
        case Condition(field, operator, values):
            return _meets(_value(field, fields), operator, values)


def _meets(found: Any, operator: str, values: tuple[Value, ...]) -> bool:
    match operator:
        case "exists":
            return found is not None
        case "in":
            return any(_equal(found, value) for value in values)
        case "like":
            return isinstance(found, str) and found.startswith(composed(str(values[0])))
        case "has":
            return isinstance(found, list) and any(_equal(item, values[0]) for item in found)
        case _:
            return _ordered(found, operator, values[0])


def _value(field: Field, fields: dict[str, Any]) -> Any:
    if field.is_built_in:
        return fields.get(field.path[0])
    value: Any = fields["metadata"]
    for key in field.path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _equal(found: Any, value: Value) -> bool:
    return _kind(found) is _kind(value) and found == (composed(value) if isinstance(value, str) else value)


def _ordered(found: Any, operator: str, value: Any) -> bool:
    if _kind(found) is not _kind(value):
        return False
    if operator in {"<=", ">="} and found == value:
        return True
    return bool(found < value if operator in {"<", "<="} else found > value)
