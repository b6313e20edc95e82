"""Owns the names of CompCars: makes, models and types, in MATLAB files, and the models' attributes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from numpy.typing import NDArray

from training.datasets.matlab import held_by, variable_in
from training.datasets.report import Checks, DatasetReport, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, integer_in, number_in, open_dataset

_NAMES = "data/misc/make_model_name.mat"
_TYPES = "data/misc/car_type.mat"
_ATTRIBUTES = "data/misc/attributes.txt"
_SURVEILLANCE = "sv_data/sv_make_model_name.mat"


@dataclass(frozen=True, slots=True)
class CarAttributes:
    """What is known of a model; None where the set does not know it."""

    max_speed_km_h: float | None
    displacement_l: float | None
    doors: int | None
    seats: int | None
    type: str | None


@dataclass(frozen=True, slots=True)
class CarNames:
    """Names by make id and by model id, both from 1; models without a name are missing."""

    makes: Mapping[int, str]
    models: Mapping[int, str]
    attributes: Mapping[int, CarAttributes]
    report: DatasetReport


def load_car_names(root: Path, **checks: Unpack[Checks]) -> CarNames:
    """Read the names of `data/misc`."""
    base, faults = open_dataset(root, checks)
    makes: dict[int, str] = {}
    models: dict[int, str] = {}
    types: dict[int, str] = {}
    with faults.at(_NAMES):
        makes, models = (
            _by_id(variable_in(base, _NAMES, "make_names")),
            _by_id(variable_in(base, _NAMES, "model_names")),
        )
    with faults.at(_TYPES):
        types = _by_id(variable_in(base, _TYPES, "types"))
    attributes = _attributes(base, types, faults)
    counts = {"makes": len(makes), "models": len(models), "models with attributes": len(attributes)}
    report = faults.finish(base.folder, counts)
    return CarNames(makes, models, attributes, report)


def surveillance_model_ids(base: DatasetRoot) -> dict[int, int]:
    """The web model id of each folder of `sv_data/image`; raises RecordError."""
    cells = variable_in(base, _SURVEILLANCE, "sv_make_model_name")
    if cells.ndim != 2 or cells.shape[1] != 3:
        raise RecordError(FaultKind.BROKEN_FILE, f"sv_make_model_name is {cells.shape}, not rows of 3")
    return {
        sv_id: integer_in(str(held_by(cell)), f"the model id in row {sv_id}", at_least=1)
        for sv_id, cell in enumerate(cells[:, 2], start=1)
    }


def _by_id(cells: NDArray[Any]) -> dict[int, str]:
    names = {number: str(held_by(cell)).strip() for number, cell in enumerate(cells.ravel(), start=1)}
    return {number: name for number, name in names.items() if name}


def _attributes(base: DatasetRoot, types: Mapping[int, str], faults: Faults) -> dict[int, CarAttributes]:
    attributes: dict[int, CarAttributes] = {}
    # The first line names the columns.
    for record, line in base.lines(_ATTRIBUTES, faults)[1:]:
        fields = line.split()
        with faults.at(_ATTRIBUTES, record):
            if len(fields) != 6:
                raise RecordError(FaultKind.BAD_RECORD, f"{len(fields)} fields, not 6")
            model_id = integer_in(fields[0], "the model", at_least=1)
            if model_id in attributes:
                raise RecordError(FaultKind.DUPLICATE, f"model {model_id} was listed before")
            attributes[model_id] = _of_model(fields[1:], types)
    return attributes


def _of_model(fields: list[str], types: Mapping[int, str]) -> CarAttributes:
    # 0 and -1 stand for what is not known.
    speed, displacement = (number_in(field, "a measure") for field in fields[:2])
    doors, seats, kind = (integer_in(field, "a number", at_least=-1) for field in fields[2:])
    return CarAttributes(
        max_speed_km_h=speed if speed > 0 else None,
        displacement_l=displacement if displacement > 0 else None,
        doors=doors if doors > 0 else None,
        seats=seats if seats > 0 else None,
        type=types.get(kind),
    )
