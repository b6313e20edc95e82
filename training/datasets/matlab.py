"""Owns the reading of MATLAB files that strangers wrote; scipy reads these without running anything in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from training.datasets.report import FaultKind, RecordError
from training.datasets.root import DatasetRoot


def variable_in(base: DatasetRoot, name: str, variable: str) -> NDArray[Any]:
    """One variable of the file `name`, as an array of numbers or of cells; raises RecordError."""
    path = base.file(name)
    try:
        content = loadmat(path, variable_names=[variable])
    except Exception as error:  # scipy meets damage with whatever its reader stumbles into
        raise RecordError(FaultKind.BROKEN_FILE, f"it is not a MATLAB file up to version 7: {error}") from error
    if not isinstance(content.get(variable), np.ndarray):
        raise RecordError(FaultKind.BROKEN_FILE, f"it has no variable {variable}")
    return np.asarray(content[variable])


def held_by(cell: Any) -> Any:
    """What a cell holds, "" for an empty one: MATLAB wraps even a single number or text in arrays."""
    while isinstance(cell, np.ndarray):
        if not cell.size:
            return ""
        cell = cell.flat[0]
    return cell
