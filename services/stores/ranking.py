"""From rows near the queries to hits: merged, grouped by image, copies folded. Nothing here asks a store."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from services.stores.milvus.rows import Neighbor, RowKey, region_of
from services.stores.records import WHOLE_IMAGE_REGION, Hit, ImageRecord, NearestQuery

MAX_COPIES = 100  # copies that a hit names


class _Match(NamedTuple):
    """A row of a version that lives."""

    row: Neighbor
    record: ImageRecord


def merge(answers: Iterable[Iterable[Neighbor]]) -> list[Neighbor]:
    """Each row once, with the best of its scores."""
    best: dict[RowKey, Neighbor] = {}
    for neighbor in chain.from_iterable(answers):
        known = best.get(neighbor.key)
        if known is None or neighbor.score > known.score:
            best[neighbor.key] = neighbor
    return list(best.values())


def horizon(answers: Sequence[Sequence[Neighbor]], fetched: int, min_score: float) -> float:
    """The score down to which nothing is missing: rows below it may be outranked by rows that were not fetched."""
    cut_off = [neighbors[-1].score for neighbors in answers if len(neighbors) >= fetched]
    return max((score for score in cut_off if score >= min_score), default=float("-inf"))


def rank(
    rows: Iterable[Neighbor], records: Mapping[str, ImageRecord], query: NearestQuery, *, has_regions: bool
) -> list[Hit]:
    """The hits of live versions, best first; equal scores by uri, so that the order of copies never changes."""
    matches = [
        _Match(row, records[row.key.image_id])
        for row in rows
        if row.key.image_id in records and records[row.key.image_id].version == row.key.version
    ]
    matches.sort(key=lambda each: (-each.row.score, each.record.uri, each.row.key.region))
    folded: dict[tuple[str, int], list[_Match]] = {}
    ranked: set[str] = set()
    for match in matches:
        image_id = match.record.image_id
        if query.group_by_image and image_id in ranked:
            continue  # a region of an image that has a better one
        ranked.add(image_id)
        region = 0 if query.group_by_image else match.row.key.region
        folded.setdefault((match.record.sha256 if query.fold_copies else image_id, region), []).append(match)
    return [_hit(lead, copies, has_regions=has_regions) for lead, *copies in folded.values()]


def _hit(match: _Match, copies: Sequence[_Match], *, has_regions: bool) -> Hit:
    found = region_of(match.row.fields) if has_regions else WHOLE_IMAGE_REGION
    region = None if found == WHOLE_IMAGE_REGION else found
    uris = tuple(copy.record.uri for copy in copies[:MAX_COPIES])
    return Hit(match.record, match.row.score, region, match.row.query_position, uris, len(copies))
