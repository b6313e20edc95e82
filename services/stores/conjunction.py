"""Regions that an image has to match together: the worst of their best matches ranks it. Nothing here asks a store.

The threshold algorithm (Fagin, Lotem, Naor: Optimal Aggregation Algorithms for Middleware, 2003): images that are near to
any of the regions are compared with all of them, and an image that is near to none cannot rank above the lowest horizon.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf

from services.stores.milvus.rows import Neighbor
from services.stores.queries import Hit, NearestQuery, RegionMatch
from services.stores.ranking import Match, is_live, rank, region_in
from services.stores.records import ImageRecord

MAX_COMPARED_ROWS = 4096

_Best = dict[int, Neighbor]  # an image's best row, by the position of the query embedding


def candidates(
    answers: Sequence[Sequence[Neighbor]], fetched: int, records: Mapping[str, ImageRecord]
) -> tuple[list[ImageRecord], float]:
    """The images to compare with all regions, and the score that no other image exceeds."""
    horizons = [rows[-1].score if len(rows) >= fetched else -inf for rows in answers]
    bounds = {
        image_id: min(
            best[position].score if position in best else horizon for position, horizon in enumerate(horizons)
        )
        for image_id, best in _best_rows(answers, records).items()
    }
    chosen: list[ImageRecord] = []
    row_count, complete_to = 0, min(horizons)
    for image_id in sorted(bounds, key=lambda each: -bounds[each]):
        row_count += records[image_id].region_count
        if chosen and row_count > MAX_COMPARED_ROWS:
            return chosen, max(complete_to, bounds[image_id])
        chosen.append(records[image_id])
    return chosen, complete_to


def rank_together(
    answers: Sequence[Sequence[Neighbor]], records: Mapping[str, ImageRecord], query: NearestQuery, *, has_regions: bool
) -> list[Hit]:
    """The hits, best first: each stands for its worst region, and names what all of them matched."""
    complete = {image_id: best for image_id, best in _best_rows(answers, records).items() if len(best) == len(answers)}
    worst = [_worst(best) for best in complete.values()]
    hits = rank(
        [each for each in worst if each.row.score >= query.lowest_score], records, query, has_regions=has_regions
    )
    return [replace(hit, matches=_matches(complete[hit.record.image_id], has_regions=has_regions)) for hit in hits]


def _best_rows(answers: Iterable[Iterable[Neighbor]], records: Mapping[str, ImageRecord]) -> dict[str, _Best]:
    best: dict[str, _Best] = defaultdict(dict)
    for position, rows in enumerate(answers):
        for row in rows:  # best first
            if is_live(row, records):
                best[row.key.image_id].setdefault(position, row)
    return best


def _worst(best: _Best) -> Match:
    position = min(best, key=lambda each: best[each].score)
    return Match(best[position], position)


def _matches(best: _Best, *, has_regions: bool) -> tuple[RegionMatch, ...]:
    return tuple(
        RegionMatch(position, region_in(best[position], has_regions=has_regions), best[position].score)
        for position in sorted(best)
    )
