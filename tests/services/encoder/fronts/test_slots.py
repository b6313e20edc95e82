"""Slots never overlap, whoever writes to them; every one belongs to one model and lane."""

import os
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.priority import Priority
from services.encoder.fronts.slots import ModelSlots, SlotBlock
from services.encoder.model_queue import ModelChoices

CHOICES = ModelChoices("fp32", "CPUExecutionProvider", "0" * 64, 1, 8)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5000), st.integers(1, 5000))


def block_of(*sizes: tuple[int, int, int]) -> SlotBlock:
    """A block of models with so many slots in a lane, and inputs and answers of so many bytes."""
    models = [ModelSlots(f"model {number}", *size, CHOICES) for number, size in enumerate(sizes)]
    block, descriptor = SlotBlock.create(models)
    os.close(descriptor)
    return block


@given(st.lists(SIZES, min_size=1, max_size=4))
def test_what_is_written_to_every_slot_stays_in_every_slot(sizes: list[tuple[int, int, int]]) -> None:
    """All slots are filled to their last byte, and then each still holds its own."""
    block = block_of(*sizes)
    rooms = {
        slot: model.slot_bytes
        for model in block.models
        for lane in Priority
        for slot in block.numbers(model.name, lane)
    }

    for slot, size in rooms.items():
        block.write(slot, np.full(size, slot % 251, np.uint8))

    assert all((block.read(slot, size) == slot % 251).all() for slot, size in rooms.items())


@given(st.lists(SIZES, min_size=1, max_size=4))
def test_every_slot_belongs_to_one_model_and_lane(sizes: list[tuple[int, int, int]]) -> None:
    """The numbers of all models and lanes are 0, 1, 2 … without a gap, and `owner` finds them again."""
    block = block_of(*sizes)
    by_owner = {(model.name, lane): block.numbers(model.name, lane) for model in block.models for lane in Priority}

    assert sorted(chain.from_iterable(by_owner.values())) == list(range(sum(2 * count for count, _, _ in sizes)))
    assert all(block.owner(slot) == owner for owner, slots in by_owner.items() for slot in slots)


def test_another_process_sees_what_is_written() -> None:
    """A descriptor is all that another process needs."""
    models = [ModelSlots("one", 2, 100, 100, CHOICES)]
    block, descriptor = SlotBlock.create(models)
    child = os.fork()
    if child == 0:
        SlotBlock(descriptor, models).write(3, np.arange(100, dtype=np.uint8))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(descriptor)

    assert block.read(3, 100).tolist() == list(range(100))


@pytest.mark.parametrize("slot", [-1, 4])
def test_a_number_beyond_the_slots_is_refused(slot: int) -> None:
    """A number from another process is checked before memory is."""
    with pytest.raises(ValueError, match="no slot"):
        block_of((2, 10, 10)).owner(slot)


def test_what_is_too_large_for_a_slot_leaves_the_next_one_alone() -> None:
    """Neither a write nor a read crosses the end of a slot."""
    block = block_of((1, 10, 10))
    room = block.models[0].slot_bytes

    with pytest.raises(ValueError, match="could not broadcast"):
        block.write(0, np.ones(room + 1, np.uint8))
    with pytest.raises(ValueError, match="a slot has"):
        block.read(0, room + 1)
    assert not block.read(1, room).any()


def test_a_description_survives_its_way_to_another_process() -> None:
    """What the model process says of its models is what a front reads."""
    model = ModelSlots("one", 2, 100, 64, CHOICES)

    assert ModelSlots.of_json(model.as_json()) == model
