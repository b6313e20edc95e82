"""No slot is handed out twice, few calls use few slots, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from rpc.deadline import Deadline
from services.encoder.fronts.free_slots import FreeSlots

SLOTS = 16


@given(st.lists(st.integers(-SLOTS, SLOTS).filter(bool), max_size=60))
def test_a_slot_has_one_holder(steps: list[int]) -> None:
    """Whatever is taken and given back in whatever order, what is out was free, and what comes back is free again."""
    free = FreeSlots(range(SLOTS))
    out: list[int] = []
    for step in steps:
        if step > 0:
            taken = free.take(step, Deadline.after(0))
            assert len(taken) == min(step, SLOTS - len(out))
            assert not set(taken) & set(out)
            out += taken
        for _ in range(min(len(out), -step)):
            free.give_back(out.pop(0))

    assert len(set(out)) == len(out)


def test_the_slots_used_last_are_used_again() -> None:
    """One call at a time touches the memory of one slot, not of all in turn."""
    free = FreeSlots(range(SLOTS))
    used = set()
    for _ in range(3 * SLOTS):
        (slot,) = free.take(1, Deadline.after(1))
        used.add(slot)
        free.give_back(slot)

    assert len(used) == 1


def test_who_finds_no_slot_waits_for_one() -> None:
    """What comes back goes to the one that waits."""
    free = FreeSlots([7])
    free.take(1, Deadline.after(1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(free.take, 2, Deadline.after(20))
        free.give_back(7)

        assert waiting.result(20) == [7]


def test_nobody_waits_beyond_the_deadline_or_the_end() -> None:
    """No slot comes at the deadline, nor once there will be no more."""
    free = FreeSlots([])
    assert free.take(1, Deadline.after(0.01)) == []

    threading.Timer(0.05, free.close).start()
    assert free.take(1, Deadline.after(20)) == []
