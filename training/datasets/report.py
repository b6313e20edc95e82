"""Owns what a loader found wrong in a dataset: the faults, where they are, and the decision to go on without them.

Every loader takes `expected`, counts that the set must have, as its module's PUBLISHED_COUNTS; `decode`, to decode every
image once, which is slow, so that none can end an epoch; and `allow_incomplete`, to use what is right of a set that has
faults, where it would else raise DatasetError.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypedDict, TypeVar

FIRST_LINES = 10

Item = TypeVar("Item")


class FaultKind(StrEnum):
    """What is wrong; the value is the words that a report uses."""

    MISSING_FILE = "missing file"
    BROKEN_FILE = "broken file"
    BAD_RECORD = "bad record"
    DUPLICATE = "duplicate"
    WRONG_COUNT = "wrong count"
    BOX_OUTSIDE = "box outside its image"
    OUTSIDE_ROOT = "path outside the dataset"
    NON_ASCII_NAME = "non-ASCII name"
    UNPAIRED = "without a partner"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in `file`, a path below the dataset; `record` says where in it, as `record 12`."""

    kind: FaultKind
    file: str
    record: str
    detail: str

    def __str__(self) -> str:
        """One line of ASCII, because a name that is not may be the fault."""
        where = f"{self.file}, {self.record}" if self.record else self.file
        return _ascii(f"{where}: {self.kind}: {self.detail}")


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What a loader read and what was wrong with it, in the order of reading.

    `counts` is what can be used, by the layout's own words, as `{"train images": 34054}`.
    """

    root: Path
    counts: Mapping[str, int]
    faults: tuple[Fault, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.faults

    def how_many(self) -> dict[FaultKind, int]:
        """The number of faults of each kind that occurs."""
        return dict(Counter(fault.kind for fault in self.faults))

    def summary(self, first: int = FIRST_LINES) -> str:
        """One line of counts, one of kinds, and the first faults, a line each."""
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items()) or "nothing"
        if self.is_complete:
            return f"{_ascii(str(self.root))}: complete, {counts}."
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in self.how_many().items())
        lines = [f"{_ascii(str(self.root))}: {len(self.faults):,} faults ({kinds}); {counts} can be used."]
        lines += [f"  {fault}" for fault in self.faults[:first]]
        if len(self.faults) > first:
            lines.append(f"  and {len(self.faults) - first:,} more")
        return "\n".join(lines)


class DatasetError(Exception):
    """The dataset cannot be used as it is; `report` has every fault, the message the first of them."""

    def __init__(self, message: str, report: DatasetReport) -> None:
        super().__init__(message)
        self.report = report


class RecordError(Exception):
    """A record cannot be used; raised by what reads one record, caught and kept by `Faults.at`."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Checks(TypedDict, total=False):
    """The options of every loader, as the head of this file explains them."""

    expected: Mapping[str, int] | None
    decode: bool
    allow_incomplete: bool


@dataclass(slots=True)
class Faults:
    """Gathers the faults of one reading; a record with a fault is left out and the reading goes on."""

    checks: Checks = field(default_factory=Checks)
    found: list[Fault] = field(default_factory=list)

    def note(self, kind: FaultKind, file: str, record: str, detail: str) -> None:
        """Keep a fault of something that can be used nevertheless."""
        self.found.append(Fault(kind, file, record, detail))

    @contextmanager
    def at(self, file: str, record: str = "") -> Iterator[None]:
        """Keep the RecordError that ends the block; what the block would have added is then missing."""
        try:
            yield
        except RecordError as error:
            self.note(error.kind, file, record, str(error))

    def note_name(self, name: str, file: str, record: str = "") -> None:
        """Note a name that other tools may spell otherwise; the record is used all the same."""
        if not name.isascii():
            self.note(FaultKind.NON_ASCII_NAME, file, record, f"{name} works here; other tools may not find it")

    def collect(self, listed: Iterable[tuple[str, str, str]], read: Callable[[str], Item]) -> dict[str, Item]:
        """Read what is listed, each as file, record and name, by its name; a second one of a name is a fault."""
        found: dict[str, Item] = {}
        for file, record, name in listed:
            with self.at(file, record):
                if name in found:
                    raise RecordError(FaultKind.DUPLICATE, f"{name} was listed before")
                found[name] = read(name)
                self.note_name(name, file, record)
        return found

    def finish(self, root: Path, counts: Mapping[str, int]) -> DatasetReport:
        """Compare the counts with the expected ones and close the report.

        Raises DatasetError where nothing can be used, and for any fault unless `allow_incomplete`.
        """
        for name, count in (self.checks.get("expected") or {}).items():
            if counts.get(name, 0) != count:
                detail = f"{counts.get(name, 0):,} {name} can be used where {count:,} are expected"
                self.note(FaultKind.WRONG_COUNT, ".", "", detail)
        report = DatasetReport(root, dict(counts), tuple(self.found))
        if not any(counts.values()):
            raise DatasetError(f"Nothing in this dataset can be used.\n{report.summary()}", report)
        if not (self.checks.get("allow_incomplete") or report.is_complete):
            advice = "Repair the dataset, or pass allow_incomplete=True to use the rest."
            raise DatasetError(f"{report.summary()}\n{advice}", report)
        return report


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")
