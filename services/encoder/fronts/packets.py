"""What a front and the model process say to each other, each thing in one packet; what is large lies in slots."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import ClassVar, TypeAlias

MAX_BYTES = 64 << 10
MOST_RECORDS = 1024
"""In one packet; more go in several."""

_KIND_BYTES = 1


class Ending(IntEnum):
    """What lies in a slot whose input has ended."""

    ANSWERED = 0
    UNUSABLE = 1
    """Nothing: the model has no usable answer for this input alone."""
    FAILED = 2
    """A google.rpc.Status that ends the whole call."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """An input lies in a slot: run it before the deadline, a moment of the monotonic clock that all processes share."""

    layout: ClassVar[struct.Struct] = struct.Struct("<IId")

    slot: int
    size: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Nobody waits for the input of a slot any more; the slot comes back by an `Ended`, as always."""

    layout: ClassVar[struct.Struct] = struct.Struct("<I")

    slot: int


@dataclass(frozen=True, slots=True)
class Ended:
    """`size` bytes lie in a slot, which belongs to the front again; and how the batch ran."""

    layout: ClassVar[struct.Struct] = struct.Struct("<IIIffI")

    slot: int
    size: int
    ending: int
    queue_s: float
    infer_s: float
    batch_size: int


Record: TypeAlias = Submitted | Withdrawn | Ended

_KINDS: tuple[type[Record], ...] = (Submitted, Withdrawn, Ended)


def packet(records: Iterable[Record]) -> bytes:
    """One packet of records of one kind, at least one and at most `MOST_RECORDS`."""
    records = list(records)
    kind = type(records[0])
    return bytes([_KINDS.index(kind)]) + b"".join(kind.layout.pack(*astuple(record)) for record in records)


def records(packet: bytes) -> Iterator[Record]:
    """The records of one packet."""
    kind = _KINDS[packet[0]]
    for values in kind.layout.iter_unpack(packet[_KIND_BYTES:]):
        yield kind(*values)
