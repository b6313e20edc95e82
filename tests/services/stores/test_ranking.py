import gc
import math
import time

from services.stores.milvus.rows import Neighbor, RowKey
from services.stores.queries import Hit, NearestQuery
from services.stores.ranking import horizon, merge, rank
from services.stores.records import ImageRecord, image_id_of
from tests.services.stores.making import unit_embeddings


def neighbor(uri: str, score: float, region: int = 0) -> Neighbor:
    return Neighbor(RowKey(image_id_of(uri), 1, region), score, {})


def record(uri: str, sha256: str = "") -> ImageRecord:
    return ImageRecord(image_id_of(uri), uri, sha256 or uri, 1, 2, 10, 10, {}, 0.0)


def ranked(near: list[Neighbor], *records: ImageRecord, group: bool = True, fold: bool = True) -> list[Hit]:
    known = {each.image_id: each for each in records}
    query = NearestQuery(unit_embeddings(1), limit=10, group_by_image=group, fold_copies=fold)
    return rank(merge([near]), known, query, has_regions=False)


def test_the_better_query_counts() -> None:
    """A row that two queries found keeps its better score and that query's position."""
    [match] = merge([[neighbor("a", 0.2)], [neighbor("a", 0.7)]])
    assert (match.row.score, match.query_position) == (0.7, 1)


def test_equal_scores_stand_by_uri() -> None:
    """Ties are broken by uri, so an order is always the same."""
    hits = ranked([neighbor("b", 0.5), neighbor("a", 0.5), neighbor("c", 0.9)], *map(record, "abc"))
    assert [hit.record.uri for hit in hits] == ["c", "a", "b"]


def test_many_copies_fold_into_one_hit_in_linear_time() -> None:
    """As many copies as one search may return are counted, a hundred are named, and sixteen times as many take no 64."""

    def folding_s(count: int) -> float:
        near, same = [neighbor(f"{i:05}", 0.5) for i in range(count)], [record(f"{i:05}", "same") for i in range(count)]
        gc.disable()  # a collection takes time that grows with what other tests left behind
        start_s = time.thread_time()
        [hit] = ranked(near, *same)
        taken_s = time.thread_time() - start_s
        gc.enable()
        assert hit.copy_count == count - 1
        assert hit.copies == tuple(f"{i:05}" for i in range(1, 101))
        return taken_s

    assert min(folding_s(16_384) for _ in range(3)) < 64 * min(folding_s(1024) for _ in range(3))


def test_the_best_copy_leads() -> None:
    """Of copies the best is the hit, and the others are named, best first."""
    near = [neighbor("a", 0.5), neighbor("b", 0.6), neighbor("c", 0.4), neighbor("d", 0.1)]
    hits = ranked(near, *(record(uri, "same") for uri in "abc"), record("d"))
    assert [(hit.record.uri, hit.copies) for hit in hits] == [("b", ("a", "c")), ("d", ())]
    assert len(ranked(near, *(record(uri, "same") for uri in "abc"), record("d"), fold=False)) == 4


def test_copies_of_regions_fold_region_by_region() -> None:
    """Without grouping, each region of a copy folds into the same region of its original."""
    near = [neighbor("a", 0.9, 0), neighbor("b", 0.9, 0), neighbor("a", 0.5, 1), neighbor("b", 0.5, 1)]
    hits = ranked(near, record("a", "same"), record("b", "same"), group=False)
    assert [(hit.record.uri, hit.score, hit.copies) for hit in hits] == [("a", 0.9, ("b",)), ("a", 0.5, ("b",))]


def test_the_horizon_is_where_rows_may_be_missing() -> None:
    """Only answers that were cut off hide something."""
    full, short = [neighbor("a", 0.9), neighbor("b", 0.4)], [neighbor("c", 0.1)]
    assert horizon([full, short], 2) == 0.4
    assert horizon([short], 2) == -math.inf
