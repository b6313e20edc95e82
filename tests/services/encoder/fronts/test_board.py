"""A bound is one bound, however many fronts keep it, and a front that has ended holds nothing of it."""

import os
from collections.abc import Iterator

import pytest

from rpc.errors import Overloaded
from rpc.permits import Permits
from rpc.priority import Priority
from services.encoder.fronts.board import BULK, IN_FLIGHT, Board, bounds_count, bounds_of, lane_bound

BOUNDS = bounds_of(["general", "detector"])
FRONTS = 3
LIMIT = 4


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = Board.create(FRONTS, len(BOUNDS))
    yield made
    os.close(made)


def permits_of(descriptor: int, row: int, bound: str = IN_FLIGHT) -> Permits:
    """The permits of one front."""
    tally = Board(descriptor, row, BOUNDS).tally(bound)
    return Permits(LIMIT, reason="FULL", message="full", tally=tally)


def test_fronts_keep_a_limit_together(descriptor: int) -> None:
    """What one holds the others cannot take, and can once it is given back."""
    first, second, third = (permits_of(descriptor, row) for row in range(FRONTS))
    held = first.acquire(3)
    second.acquire(1)
    with pytest.raises(Overloaded):
        third.acquire(1)

    held.close()

    third.acquire(3)
    with pytest.raises(Overloaded):
        first.acquire(1)


def test_a_call_larger_than_the_limit_waits_for_all_fronts(descriptor: int) -> None:
    """It gets all permits, where no front holds any."""
    first, second, _ = (permits_of(descriptor, row) for row in range(FRONTS))
    one = first.acquire(1)
    with pytest.raises(Overloaded):
        second.acquire(2 * LIMIT)
    one.close()

    second.acquire(2 * LIMIT)
    with pytest.raises(Overloaded):
        first.acquire(1)


@pytest.mark.parametrize("other", [BULK, lane_bound("general", Priority.BULK), lane_bound("detector", Priority.BULK)])
def test_bounds_do_not_touch_each_other(descriptor: int, other: str) -> None:
    """Each lane of each model has numbers of its own."""
    permits_of(descriptor, 0, lane_bound("general", Priority.INTERACTIVE)).acquire(LIMIT)

    permits_of(descriptor, 1, other).acquire(LIMIT)


def test_a_front_that_has_ended_holds_nothing(descriptor: int) -> None:
    """Its row is cleared, and no other."""
    lost, stays = permits_of(descriptor, 1), permits_of(descriptor, 2)
    lost.acquire(2)
    stays.acquire(2)

    Board.clear(descriptor, 1, len(BOUNDS))

    with pytest.raises(Overloaded):
        permits_of(descriptor, 0).acquire(LIMIT)
    permits_of(descriptor, 0).acquire(LIMIT - 2)


def test_the_parent_knows_the_size_of_the_board() -> None:
    """It knows how many bundles there are, not what they are called."""
    assert bounds_count(2) == len(BOUNDS)
