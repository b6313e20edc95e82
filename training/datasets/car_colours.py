"""Owns the colours of CompCars' surveillance photos, `sv_data/color_list.mat`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from training.datasets.matlab import held_by, variable_in
from training.datasets.report import Checks, DatasetReport, FaultKind, RecordError
from training.datasets.root import integer_in, open_dataset

COLOURS = ("black", "white", "red", "yellow", "blue", "green", "purple", "brown", "champagne", "silver")
"""By their numbers, from 0."""
UNKNOWN = -1
_FILE = "sv_data/color_list.mat"


@dataclass(frozen=True, slots=True)
class CarColours:
    """The colour of each photo whose colour is known, by its name `<sv id>/<file>`."""

    colours: Mapping[str, str]
    report: DatasetReport


def load_car_colours(root: Path, **checks: Unpack[Checks]) -> CarColours:
    """Read the list."""
    base, faults = open_dataset(root, checks)
    rows: list[tuple[str, str]] = []
    with faults.at(_FILE):
        cells = variable_in(base, _FILE, "color_list")
        if cells.ndim != 2 or cells.shape[1] != 2:
            raise RecordError(FaultKind.BROKEN_FILE, f"color_list is {cells.shape}, not rows of 2")
        rows = [(str(held_by(name)), str(held_by(number))) for name, number in cells]
    numbers: dict[str, int] = {}
    for row, (name, number) in enumerate(rows, start=1):
        with faults.at(_FILE, f"row {row}"):
            if name in numbers:
                raise RecordError(FaultKind.DUPLICATE, f"{name} was listed before")
            numbers[name] = _number(number)
    colours = {name: COLOURS[number] for name, number in numbers.items() if number != UNKNOWN}
    report = faults.finish(base.folder, {"colours": len(colours)})
    return CarColours(colours, report)


def _number(text: str) -> int:
    number = integer_in(text, "the colour", at_least=UNKNOWN)
    if number >= len(COLOURS):
        raise RecordError(FaultKind.BAD_RECORD, f"the colour is {number}; the last one is {len(COLOURS) - 1}")
    return number
