"""Owns the lists with which one brings one's own photos: `indexinfo.csv`, `tindexinfo.csv` and `test.npy`."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from training.datasets.report import Checks, DatasetReport, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, integer_in, open_dataset

DATABASE, QUERIES, CHOSEN = "indexinfo.csv", "tindexinfo.csv", "test.npy"
_COLUMNS = ("Path", "Index", "Class")


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """One row: `index` is its number in the list, `label` its class."""

    path: Path
    name: str
    index: int
    label: int


@dataclass(frozen=True, slots=True)
class ListedPhotos:
    """The gallery and the queries, each by rising index; the queries of `test.npy` in its order, where it is there."""

    database: tuple[ListedPhoto, ...]
    queries: tuple[ListedPhoto, ...]
    report: DatasetReport


def load_listed_photos(root: Path, *, images: Path | None = None, **checks: Unpack[Checks]) -> ListedPhotos:
    """Read the lists of `root`; paths in them lie below `images`, else below `root`.

    A list has the columns Path, Index (0 to n-1, each once) and Class (a whole number), and any others. `test.npy`,
    (n, 2) integers of index and class, chooses queries.
    """
    base, faults = open_dataset(root, checks)
    folder = DatasetRoot.at(images, decode=base.decode) if images else base
    database, queries = (_photos(base, name, folder, faults) for name in (DATABASE, QUERIES))
    chosen = _chosen(base, queries, faults) if (root / CHOSEN).exists() else list(queries.values())
    counts = {
        "photos": len(database),
        "queries": len(chosen),
        "classes": len({photo.label for photo in database.values()}),
    }
    report = faults.finish(base.folder, counts)
    return ListedPhotos(tuple(database.values()), tuple(chosen), report)


def _photos(base: DatasetRoot, file: str, folder: DatasetRoot, faults: Faults) -> dict[int, ListedPhoto]:
    """The rows by index, rising."""
    rows: list[tuple[int, dict[str, str]]] = []
    with faults.at(file):
        rows = _rows(base.text(file), file)
    photos: dict[int, ListedPhoto] = {}
    for line, row in rows:
        with faults.at(file, f"line {line}"):
            photo = _photo(row, folder, len(rows))
            if photo.index in photos:
                raise RecordError(FaultKind.DUPLICATE, f"Index {photo.index} was listed before")
            photos[photo.index] = photo
            faults.note_name(photo.name, file, f"line {line}")
    return dict(sorted(photos.items()))


def _rows(text: str, file: str) -> list[tuple[int, dict[str, str]]]:
    """The rows with the lines that they end on."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restval="")
    try:
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise RecordError(FaultKind.BROKEN_FILE, f"{file} has no column {', '.join(missing)}")
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise RecordError(FaultKind.BROKEN_FILE, f"{file} breaks at line {reader.line_num}: {error}") from error


def _photo(row: Mapping[str, str], folder: DatasetRoot, rows: int) -> ListedPhoto:
    index = integer_in(row["Index"], "`Index`")
    if index >= rows:
        raise RecordError(FaultKind.BAD_RECORD, f"`Index` is {index} in a list of {rows:,} rows")
    return ListedPhoto(folder.image(row["Path"]), row["Path"], index, integer_in(row["Class"], "`Class`"))


def _chosen(base: DatasetRoot, queries: Mapping[int, ListedPhoto], faults: Faults) -> list[ListedPhoto]:
    table = np.empty((0, 2), np.int64)
    with faults.at(CHOSEN):
        table = _table(base.file(CHOSEN))
    chosen: dict[int, ListedPhoto] = {}
    for number, (index, label) in enumerate(table.tolist()):
        with faults.at(CHOSEN, f"row {number}"):
            if index in chosen:
                raise RecordError(FaultKind.DUPLICATE, f"index {index} was listed before")
            if index not in queries:
                raise RecordError(FaultKind.BAD_RECORD, f"index {index} is that of no usable row of {QUERIES}")
            if queries[index].label != label:
                raise RecordError(
                    FaultKind.BAD_RECORD,
                    f"index {index} has class {label} here and {queries[index].label} in {QUERIES}",
                )
            chosen[index] = queries[index]
    return list(chosen.values())


def _table(path: Path) -> NDArray[np.int64]:
    try:
        # Never allow_pickle: an array of objects could run anything.
        table = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise RecordError(FaultKind.BROKEN_FILE, f"it is not a plain array: {error}") from error
    is_table = isinstance(table, np.ndarray) and table.ndim == 2 and table.shape[1] == 2
    if not is_table or not np.issubdtype(table.dtype, np.integer):
        raise RecordError(FaultKind.BROKEN_FILE, "it is not (n, 2) whole numbers, index and class")
    return np.asarray(table, np.int64)
