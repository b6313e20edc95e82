"""From rows near the queries to hits: merged, grouped by image, copies folded. Nothing here asks a store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from domain.detection import Detection
from services.stores.milvus.rows import Neighbor, RowKey, region_of
from services.stores.queries import Hit, NearestQuery
from services.stores.records import WHOLE_IMAGE_REGION, ImageRecord

MAX_COPIES = 100  # copies that a hit names


class Match(NamedTuple):
    """A row, and the position of the query embedding that it is near to."""

    row: Neighbor
    query_position: int


class _Live(NamedTuple):
    """A match of a version that lives."""

    match: Match
    record: ImageRecord


def merge(answers: Iterable[Iterable[Neighbor]]) -> list[Match]:
    """Each row once, with the best of its scores; `answers` are those of the query's embeddings, in order."""
    best: dict[RowKey, Match] = {}
    for position, neighbors in enumerate(answers):
        for neighbor in neighbors:
            known = best.get(neighbor.key)
            if known is None or neighbor.score > known.row.score:
                best[neighbor.key] = Match(neighbor, position)
    return list(best.values())


def horizon(answers: Sequence[Sequence[Neighbor]], fetched: int) -> float:
    """The score down to which nothing is missing: rows below it may be outranked by rows that were not fetched."""
    return max((neighbors[-1].score for neighbors in answers if len(neighbors) >= fetched), default=float("-inf"))


def rank(
    matches: Iterable[Match], records: Mapping[str, ImageRecord], query: NearestQuery, *, has_regions: bool
) -> list[Hit]:
    """The hits of live versions, best first; equal scores by uri, so that the order of copies never changes."""
    live = [_Live(match, records[match.row.key.image_id]) for match in matches if is_live(match.row, records)]
    live.sort(key=lambda each: (-each.match.row.score, each.record.uri, each.match.row.key.region))
    folded: dict[tuple[str, int], list[_Live]] = {}
    ranked: set[str] = set()
    for each in live:
        image_id = each.record.image_id
        if query.group_by_image and image_id in ranked:
            continue  # a region of an image that has a better one
        ranked.add(image_id)
        region = 0 if query.group_by_image else each.match.row.key.region
        folded.setdefault((each.record.sha256 if query.fold_copies else image_id, region), []).append(each)
    return [_hit(lead, copies, has_regions=has_regions) for lead, *copies in folded.values()]


def is_live(row: Neighbor, records: Mapping[str, ImageRecord]) -> bool:
    """Whether a row is of the version of its image that lives."""
    return row.key.image_id in records and records[row.key.image_id].version == row.key.version


def region_in(row: Neighbor, *, has_regions: bool) -> Detection | None:
    """The region that a row stands for; None for a whole image."""
    found = region_of(row.fields) if has_regions else WHOLE_IMAGE_REGION
    return None if found == WHOLE_IMAGE_REGION else found


def _hit(lead: _Live, copies: Sequence[_Live], *, has_regions: bool) -> Hit:
    row = lead.match.row
    return Hit(
        record=lead.record,
        score=row.score,
        region=region_in(row, has_regions=has_regions),
        region_number=row.key.region,
        query_position=lead.match.query_position,
        copies=tuple(copy.record.uri for copy in copies[:MAX_COPIES]),
        copy_count=len(copies),
    )
