"""Owns the reading of a run's people: CUHK-PEDES with its published splits, where its list names none."""

from pathlib import Path

from training.datasets.pedestrians import PUBLISHED_IDS, Pedestrians, load_pedestrians


def load_people(data: Path, *, decode: bool = False, allow_incomplete: bool = False) -> Pedestrians:
    """Read the list in `data`; with `decode`, or to leave out what is broken, every picture is decoded once.

    Raises DatasetError for any fault unless `allow_incomplete`.
    """
    return load_pedestrians(
        data, id_splits=PUBLISHED_IDS, decode=decode or allow_incomplete, allow_incomplete=allow_incomplete
    )
