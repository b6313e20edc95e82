"""Slots: the shared memory of one front and the model process, a piece of it for each input under way."""

import bisect
import mmap
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpc.priority import Priority
from services.encoder.model_queue import ModelChoices

RawBytes = NDArray[np.uint8]

_LANES = tuple(Priority)
_ALIGNMENT = 64
# An error's status takes a slot's place for an answer.
_LEAST_BYTES = 2048


@dataclass(frozen=True, slots=True)
class ModelSlots:
    """The slots that one front has for one model: `per_lane` in each lane, each large enough for an input or an answer."""

    name: str
    per_lane: int
    input_bytes: int
    answer_bytes: int
    choices: ModelChoices

    @property
    def slot_bytes(self) -> int:
        """The room of one slot: an answer takes the place of its input."""
        needed = max(self.input_bytes, self.answer_bytes, _LEAST_BYTES)
        return -(-needed // _ALIGNMENT) * _ALIGNMENT

    @property
    def count(self) -> int:
        """The slots of all lanes."""
        return self.per_lane * len(_LANES)

    def as_json(self) -> dict[str, Any]:
        """What `of_json` reads."""
        return asdict(self)

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "ModelSlots":
        """The slots that the model process describes."""
        return cls(**{**values, "choices": ModelChoices(**values["choices"])})


class SlotBlock:
    """The memory of all slots, which are numbered through: by model, then by lane.

    It has no name in any file system, so it is gone with the last process that has it.
    """

    def __init__(self, descriptor: int, models: Sequence[ModelSlots]) -> None:
        self.models = tuple(models)
        self._ends = list(accumulate(model.count for model in models))
        self._offsets = [0, *accumulate(model.count * model.slot_bytes for model in models)]
        # Pages that no slot has used take no memory.
        self._bytes: RawBytes = np.frombuffer(mmap.mmap(descriptor, self._offsets[-1]), np.uint8)

    @classmethod
    def create(cls, models: Sequence[ModelSlots]) -> "tuple[SlotBlock, int]":
        """A new block, and the descriptor with which another process maps it; the caller closes that."""
        descriptor = os.memfd_create("fovea-slots", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, sum(model.count * model.slot_bytes for model in models))
        return cls(descriptor, models), descriptor

    def numbers(self, name: str, lane: Priority) -> range:
        """The slots of a model in a lane."""
        position = next(position for position, model in enumerate(self.models) if model.name == name)
        model = self.models[position]
        start = self._ends[position] - model.count + _LANES.index(lane) * model.per_lane
        return range(start, start + model.per_lane)

    def owner(self, slot: int) -> tuple[str, Priority]:
        """The model and the lane of a slot."""
        position, index = self._position(slot)
        model = self.models[position]
        return model.name, _LANES[index // model.per_lane]

    def write(self, slot: int, *arrays: NDArray[Any]) -> int:
        """Copy arrays into a slot, one behind the other; returns how many bytes they take. ValueError where they do not fit."""
        room, size = self._room(slot), 0
        for array in arrays:
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            room[size : size + raw.size] = raw
            size += raw.size
        return size

    def read(self, slot: int, size: int) -> RawBytes:
        """The first `size` bytes of a slot as they lie there, not a copy."""
        room = self._room(slot)
        if size > room.size:
            raise ValueError(f"a slot has {room.size} bytes, not {size}")
        return room[:size]

    def _position(self, slot: int) -> tuple[int, int]:
        position = bisect.bisect_right(self._ends, slot)
        if slot < 0 or position == len(self._ends):
            raise ValueError(f"there are {self._ends[-1]} slots, and no slot {slot}")
        return position, slot - (self._ends[position] - self.models[position].count)

    def _room(self, slot: int) -> RawBytes:
        position, index = self._position(slot)
        size = self.models[position].slot_bytes
        start = self._offsets[position] + index * size
        return self._bytes[start : start + size]
