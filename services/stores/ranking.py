"""From rows near the queries to hits: merged, grouped by picture, copies folded. Nothing here asks a store."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.stores.milvus import Neighbor, Row
from services.stores.records import Hit, ImageRecord
from services.stores.rows import RowKey, region_of

MAX_COPIES = 100  # copies that a hit names


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row with its best score and the query that gave it."""

    key: RowKey
    score: float
    query_index: int
    fields: Row


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate whose picture's record lives."""

    candidate: Candidate
    record: ImageRecord


def merge(answers: Sequence[Sequence[Neighbor]]) -> list[Candidate]:
    """Each row once, with the best of its scores."""
    best: dict[str, Candidate] = {}
    for query_index, neighbors in enumerate(answers):
        for near in neighbors:
            known = best.get(near.key)
            if known is None or near.score > known.score:
                best[near.key] = Candidate(RowKey.parse(near.key), near.score, query_index, near.fields)
    return list(best.values())


def horizon(answers: Sequence[Sequence[Neighbor]], fetched: int, min_score: float) -> float:
    """The score down to which nothing is missing: rows below it may be outranked by rows that were not fetched."""
    cut_off = [neighbors[-1].score for neighbors in answers if len(neighbors) >= fetched]
    return max((score for score in cut_off if score >= min_score), default=float("-inf"))


def rank(matches: Iterable[Match], *, group_by_image: bool, fold_copies: bool, has_regions: bool) -> list[Hit]:
    """Hits, best first; equal scores by uri, so that a copy never leads before its original by chance."""
    ordered = sorted(matches, key=lambda each: (-each.candidate.score, each.record.uri, each.candidate.key.region))
    if group_by_image:
        ordered = _firsts(ordered)
    folded: dict[tuple[str, int], list[Match]] = {}
    for match in ordered:
        region = 0 if group_by_image else match.candidate.key.region
        identity = match.record.sha256 if fold_copies else match.record.image_id
        folded.setdefault((identity, region), []).append(match)
    return [_hit(lead, copies, has_regions=has_regions) for lead, *copies in folded.values()]


def _firsts(ordered: Iterable[Match]) -> list[Match]:
    firsts: dict[str, Match] = {}
    for match in ordered:
        firsts.setdefault(match.record.image_id, match)
    return list(firsts.values())


def _hit(match: Match, copies: Sequence[Match], *, has_regions: bool) -> Hit:
    candidate = match.candidate
    region = region_of(candidate.fields) if has_regions else None
    if region is not None and region.box is None:
        region = None
    uris = tuple(copy.record.uri for copy in copies[:MAX_COPIES])
    return Hit(match.record, candidate.score, region, candidate.query_index, uris, len(copies))
