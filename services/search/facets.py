"""Facets: the distinct values of fields and how often they occur, in a collection or among the hits of a query."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.limits import MAX_FACET_VALUES, MAX_FACETS
from rpc.errors import InvalidArgument
from services.stores.filters.grammar import parse_field
from services.stores.filters.tree import Field
from services.stores.images import ImageStore
from services.stores.queries import Hit
from services.stores.records import ImageRecord

COUNTED_HITS = 1000
# Image ids are hashes, so the first ones by id are a random sample of the collection.
COUNTED_IMAGES = 10_000
PAGE_SIZE = 1000
# Of one field. Text that is longer is not a choice that one offers.
MAX_DISTINCT, MAX_TEXT = 10_000, 256

_OF_RECORDS = ("camera", "lens", "width_px", "height_px")

FacetValue = str | float | int | bool
_Key = tuple[bool, FacetValue]  # True and 1 are one key of a dict, and two values of metadata


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values of a field with their counts, and how many values are not among them."""

    field: str
    values: tuple[tuple[FacetValue, int], ...]
    other_count: int


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """The facets of a collection, of which `image_count` images were counted; there are more if it is not complete."""

    facets: tuple[Facet, ...]
    image_count: int
    is_complete: bool


class FacetCounter:
    """Counts the values of fields, named as in filters; InvalidArgument where that cannot be done."""

    def __init__(self, fields: Sequence[str], *, with_labels: bool) -> None:
        if len(fields) > MAX_FACETS:
            raise InvalidArgument(f"facets: at most {MAX_FACETS} fields are counted at once, not {len(fields)}")
        self._fields = {text: _field(text, with_labels=with_labels) for text in fields}
        self._counts: dict[str, Counter[_Key]] = {text: Counter() for text in fields}
        self._others = Counter[str]()

    def add(self, record: ImageRecord, label: str = "") -> None:
        """Count an image, or the region of it that has this label."""
        for text, field in self._fields.items():
            counts = self._counts[text]
            for key in _keys(field, record, label):
                if key in counts or (len(counts) < MAX_DISTINCT and len(str(key[1])) <= MAX_TEXT):
                    counts[key] += 1
                else:
                    self._others[text] += 1

    def facets(self) -> tuple[Facet, ...]:
        """What was counted, the most frequent values first, equal ones in their own order."""
        return tuple(self._facet(text, counts) for text, counts in self._counts.items())

    def _facet(self, text: str, counts: Counter[_Key]) -> Facet:
        ranked = sorted(counts.items(), key=lambda each: (-each[1], str(each[0][1])))
        shown = tuple((value, count) for (_, value), count in ranked[:MAX_FACET_VALUES])
        hidden = sum(count for _, count in ranked[MAX_FACET_VALUES:])
        return Facet(text, shown, hidden + self._others[text])


async def facets_of_collection(store: ImageStore, name: str, fields: Sequence[str], filter_text: str) -> FacetCounts:
    """Counts over the images of a collection that match a filter, or over a sample of them where there are many."""
    if not fields:
        raise InvalidArgument("facets: name a field to count")
    counter, image_count, token = FacetCounter(fields, with_labels=False), 0, ""
    while image_count < COUNTED_IMAGES:
        records, token = await store.page(name, page_size=PAGE_SIZE, page_token=token, filter=filter_text)
        for record in records:
            counter.add(record)
        image_count += len(records)
        if not token:
            break
    return FacetCounts(counter.facets(), image_count, is_complete=not token)


def facets_of_hits(hits: Sequence[Hit], fields: Sequence[str]) -> tuple[Facet, ...]:
    """Counts over hits; `$label` is that of the region that matched."""
    counter = FacetCounter(fields, with_labels=True)
    for hit in hits:
        counter.add(hit.record, hit.region.label if hit.region else "")
    return counter.facets()


def _field(text: str, *, with_labels: bool) -> Field:
    try:
        field = parse_field(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"facets: {text[:100]!r} is not the name of a field; write it as in a filter") from error
    countable = (*_OF_RECORDS, *(("label",) if with_labels else ()))
    if field.is_built_in and field.path[0] not in countable:
        names = ", ".join(f"${name}" for name in countable)
        raise InvalidArgument(f"facets: {text} cannot be counted here; of the built-in fields {names} can")
    return field


def _keys(field: Field, record: ImageRecord, label: str) -> list[_Key]:
    """The values of a field: of a list each item once, of an object none."""
    name = field.path[0]
    value: Any = record.metadata
    if field.is_built_in:
        known = {"label": label or None, "width_px": record.width_px, "height_px": record.height_px}
        value = known[name] if name in known else record.exif.known.get(name)
    else:
        for key in field.path:
            value = value.get(key) if isinstance(value, dict) else None
    items = value if isinstance(value, list) else [value]
    return list(dict.fromkeys((isinstance(item, bool), item) for item in items if isinstance(item, str | float | int)))
