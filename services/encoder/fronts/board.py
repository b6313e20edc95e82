"""What each front holds of the bounds that all fronts keep together, in memory that all of them see."""

import mmap
import os
from collections.abc import Sequence

from rpc.priority import Priority

IN_FLIGHT = "in flight"
BULK = "bulk"

_NUMBER_BYTES = 8


def bounds_of(models: Sequence[str]) -> list[str]:
    """The bounds of an encoder with these models: calls in flight, bulk calls among them, each lane of each model."""
    return [IN_FLIGHT, BULK, *(lane_bound(model, lane) for model in models for lane in Priority)]


def bounds_count(models: int) -> int:
    """How many bounds an encoder with so many models has."""
    return len(bounds_of([""] * models))


def lane_bound(model: str, lane: Priority) -> str:
    """The bound of a model's lane."""
    return f"{model} {lane.value}"


class Board:
    """A row of numbers for each front, one number for each bound; a front writes its own row alone, without a lock.

    So two fronts that admit in the same microsecond may exceed a bound by one call each.
    """

    def __init__(self, descriptor: int, row: int, bounds: Sequence[str]) -> None:
        self._row = row
        self._bounds = list(bounds)
        self._numbers = memoryview(mmap.mmap(descriptor, 0)).cast("q")

    @staticmethod
    def create(rows: int, bounds: int) -> int:
        """A new board without a holder; its descriptor."""
        descriptor = os.memfd_create("fovea-board", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, rows * bounds * _NUMBER_BYTES)
        return descriptor

    @staticmethod
    def clear(descriptor: int, row: int, bounds: int) -> None:
        """Give back what a front held that has ended."""
        size = bounds * _NUMBER_BYTES
        os.pwrite(descriptor, bytes(size), row * size)

    def tally(self, bound: str) -> "BoardTally":
        """The numbers of one bound."""
        column, columns = self._bounds.index(bound), len(self._bounds)
        return BoardTally(self._numbers[column::columns], self._row)


class BoardTally:
    """What each front holds of one bound."""

    def __init__(self, held: memoryview, own: int) -> None:
        self._held = held
        self._own = own

    def others(self) -> int:
        """What the other fronts hold."""
        return sum(self._held) - int(self._held[self._own])

    def publish(self, held: int) -> None:
        """Say what this front holds."""
        self._held[self._own] = held
