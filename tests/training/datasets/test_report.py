from pathlib import Path

import pytest

from training.datasets.report import DatasetError, FaultKind, Faults, RecordError


def test_a_complete_set_says_what_it_has() -> None:
    """In one line."""
    report = Faults({"expected": {"photos": 1200}}).finish(Path("set"), {"photos": 1200})

    assert report.is_complete
    assert report.summary() == "set: complete, 1,200 photos."


def test_a_summary_counts_kinds_and_shows_the_first() -> None:
    """The rest is a number; names are written in ASCII, so that any log can hold them."""
    faults = Faults()
    for number in range(12):
        with faults.at("list.json", f"record {number}"):
            raise RecordError(FaultKind.MISSING_FILE, f"{number}.jpg is not there")
    faults.note_name("ü.jpg", "list.json", "record 12")

    with pytest.raises(DatasetError) as raised:
        faults.finish(Path("set"), {"photos": 1})

    lines = str(raised.value).splitlines()
    assert lines[0] == "set: 13 faults (missing file: 12, non-ASCII name: 1); 1 photos can be used."
    assert lines[1] == "  list.json, record 0: missing file: 0.jpg is not there"
    assert lines[11] == "  and 3 more"
    assert "\\xfc.jpg works here" in str(raised.value.report.faults[-1])


def test_nothing_left_always_stops() -> None:
    """There would be nothing to train on."""
    with pytest.raises(DatasetError, match="Nothing in this dataset can be used"):
        Faults({"allow_incomplete": True}).finish(Path("set"), {"photos": 0})


def test_other_errors_pass() -> None:
    """Only what a record is to blame for is gathered."""
    faults = Faults()
    with pytest.raises(ZeroDivisionError), faults.at("file"):
        raise ZeroDivisionError
    assert faults.found == []
