"""Tallies: what became of the files that a command sent, for people and for programs."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from cli.answers import console, show
from cli.ingestion import Outcome
from sources.file_groups import FileGroup, FilesByReason

_NAMES_SHOWN = 3


@dataclass(slots=True)
class Tally:
    """What became of the files so far; a file that failed and was taken later has not failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[str, Outcome] = field(default_factory=dict)
    warnings: FilesByReason = field(default_factory=FilesByReason)
    left_out: FilesByReason = field(default_factory=FilesByReason)
    pruned: int = 0
    moved: int = 0
    _answered: int = 0
    _busy_s: float = 0.0
    _mark_s: float = field(default_factory=time.monotonic)

    def resume(self) -> None:
        """Files are sent from here on; the time since the last answer was not spent on any."""
        self._mark_s = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """Count one more answer."""
        now_s = time.monotonic()
        self._answered += 1
        self._busy_s += now_s - self._mark_s
        self._mark_s = now_s
        if outcome.status == "failed":
            self.failed[outcome.uri] = outcome
            return
        self.counts[outcome.status] += 1
        self.failed.pop(outcome.uri, None)
        for warning in outcome.warnings:
            self.warnings.add(outcome.uri, warning)

    def forget(self, uris: Iterable[str]) -> None:
        """These files are gone, and with them their failures."""
        for uri in uris:
            self.failed.pop(uri, None)

    @property
    def failures(self) -> list[Outcome]:
        """The files that were not taken."""
        return list(self.failed.values())

    @property
    def rate(self) -> float:
        """Files a second while files were sent, up to the last answer."""
        return self._answered / max(self._busy_s, 1e-3)

    def summary(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            **{status: self.counts[status] for status in ("added", "updated", "unchanged")},
            "failed": len(self.failed),
            "pruned": self.pruned,
            "moved": self.moved,
            "rate_per_s": round(self.rate, 1),
            "failures": [{"uri": outcome.uri, "error": outcome.error} for outcome in self.failures],
            "warnings": [asdict(finding) for finding in self.warnings.listed()],
            "left_out": [asdict(finding) for finding in self.left_out.listed()],
        }

    def sentence(self) -> str:
        """The counts and the rate in a line."""
        counts = self.counts + Counter(failed=len(self.failed), pruned=self.pruned, moved=self.moved)
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing to do"
        return f"{told} ({self.rate:.0f} images/s)"

    def show(self) -> None:
        """Print the sentence, then what failed, what was warned of and what was left out."""
        console().print(self.sentence(), markup=False)
        if self.failed:
            show([{"failed": outcome.uri, "why": outcome.error} for outcome in self.failures], as_json=False)
        for heading, findings in (("warning", self.warnings), ("left out", self.left_out)):
            if findings.count:
                show([_row(heading, finding) for finding in findings.listed()], as_json=False)


def _row(heading: str, finding: FileGroup) -> dict[str, str]:
    names = ", ".join(finding.uris[:_NAMES_SHOWN])
    more = finding.count - min(len(finding.uris), _NAMES_SHOWN)
    return {
        heading: str(finding.count),
        "why": finding.reason,
        "files": f"{names} and {more:,} more" if more else names,
    }
