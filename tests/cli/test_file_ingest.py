"""The counts and the rate that a command shows."""

import pytest

from cli.file_ingest import FileOutcome, IngestReport


def test_the_rate_counts_time_in_which_files_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that rested for an hour between two files is not slower for it."""
    clock = [0.0]
    monkeypatch.setattr("cli.file_ingest.time.monotonic", lambda: clock[0])
    report = IngestReport()
    for started in (0.0, 3600.0):
        clock[0] = started
        report.resume()
        for _ in range(10):
            clock[0] += 0.5
            report.add(FileOutcome("a", "unchanged"))
    clock[0] += 3600

    assert report.rate == pytest.approx(2)


def test_a_failure_that_was_mended_is_none() -> None:
    """What counts in the end is what became of each file, not how often it was tried."""
    report = IngestReport()
    for outcome in (
        FileOutcome("a", "failed", "cut off"),
        FileOutcome("b", "failed", "cut off"),
        FileOutcome("a", "added"),
    ):
        report.add(outcome)

    assert [failure["uri"] for failure in report.as_json()["failures"]] == ["b"]
    report.forget(["b"])
    assert report.as_json()["failed"] == 0


def test_a_thousand_warnings_of_one_kind_are_one_line() -> None:
    """Warnings are grouped by what they say."""
    report = IngestReport()
    for number in range(3000):
        report.add(FileOutcome(f"{number}", "added", warnings=("only the first frame was read",)))

    [warning] = report.as_json()["warnings"]
    assert (warning["reason"], warning["count"]) == ("only the first frame was read", 3000)
    assert len(warning["uris"]) == 1000


def test_images_without_objects_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Only images in which objects were looked for count, and the report ends with their number."""
    report = IngestReport()
    for number, object_count in enumerate((3, 0, 0, None)):
        report.add(FileOutcome(f"{number}", "added", object_count=object_count))

    report.show()

    assert "no object in 2 of 3 images" in capsys.readouterr().out
    assert (report.as_json()["searched_for_objects"], report.as_json()["without_objects"]) == (3, 2)
