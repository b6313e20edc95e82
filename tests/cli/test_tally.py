"""The counts and the rate that a command shows."""

import pytest

from cli.ingestion import Outcome
from cli.tally import Tally


def test_the_rate_counts_time_in_which_files_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that rested for an hour between two files is no slower for it."""
    clock = [0.0]
    monkeypatch.setattr("cli.tally.time.monotonic", lambda: clock[0])
    tally = Tally()
    for started in (0.0, 3600.0):
        clock[0] = started
        tally.resume()
        for _ in range(10):
            clock[0] += 0.5
            tally.add(Outcome("a", "unchanged"))
    clock[0] += 3600

    assert tally.rate == pytest.approx(2)


def test_a_failure_that_was_mended_is_none() -> None:
    """What counts in the end is what became of each file, not how often it was tried."""
    tally = Tally()
    for outcome in (Outcome("a", "failed", "cut off"), Outcome("b", "failed", "cut off"), Outcome("a", "added")):
        tally.add(outcome)

    assert [failure["uri"] for failure in tally.summary()["failures"]] == ["b"]
    tally.forget(["b"])
    assert tally.summary()["failed"] == 0


def test_a_thousand_warnings_of_one_kind_are_one_line() -> None:
    """Warnings are grouped by what they say."""
    tally = Tally()
    for number in range(3000):
        tally.add(Outcome(f"{number}", "added", warnings=("only the first frame was read",)))

    [warning] = tally.summary()["warnings"]
    assert (warning["reason"], warning["count"]) == ("only the first frame was read", 3000)
    assert len(warning["uris"]) == 1000
