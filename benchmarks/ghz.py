"""Load by ghz: each kind of call in open loop, more of them step by step, to the knee where it misses its limits.

    python -m benchmarks.ghz [KIND…] [--run RUN.json] [--steps 12]

The calls are the configurations in deploy/ghz/, the limits those of deploy/ghz/limits.json: the p99 in milliseconds and the
share of errors that a step may have, and the rate of calls that has to be reached within them. Without --run a system of
its own is started. Prints a line for each kind, writes docs/results/ghz.json, and exits 1 where a rate was not reached.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import disturbance
from benchmarks.payloads import DETECTOR, ENCODER, write_payloads
from benchmarks.photos import photos
from benchmarks.servers import ROOT, system

_KIT = ROOT / "deploy" / "ghz"
_RESULTS = ROOT / "docs" / "results" / "ghz.json"
_IMAGES = 50
# After a kind that went beyond its knee, what it left waiting is worked off first.
_LONGEST_RUN_S = 300


@dataclass(frozen=True, slots=True)
class Limits:
    """What a step may show at most, and the rate that has to be reached."""

    p99_ms: float
    error_share: float
    rate: float


@dataclass(frozen=True, slots=True)
class Step:
    """The calls of one step: those that were due a second, and what became of them."""

    rate: float
    calls: int
    errors: int
    p50_ms: float
    p99_ms: float

    def is_within(self, limits: Limits) -> bool:
        """Whether it may count as served."""
        return self.p99_ms <= limits.p99_ms and self.errors <= limits.error_share * self.calls


@dataclass(frozen=True, slots=True)
class Verdict:
    """A kind's steps, and the knee: the last one before its limits are missed."""

    kind: str
    steps: list[Step]
    knee: Step | None
    is_passed: bool


def steps_of(report: Mapping[str, Any], config: Mapping[str, Any]) -> list[Step]:
    """The steps of a report of ghz, which only has every single call."""
    step_s = float(config["load-step-duration"].removesuffix("s"))
    calls: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    begun = [datetime.fromisoformat(each["timestamp"]) for each in report["details"]]
    for each, at in zip(report["details"], begun, strict=True):
        calls[int((at - min(begun)).total_seconds() // step_s)].append(each)
    return [_step(config["load-start"] + number * config["load-step"], made) for number, made in sorted(calls.items())]


def _step(rate: float, calls: Sequence[Mapping[str, Any]]) -> Step:
    # An error counts as a slow call: it is not an answer.
    taken_ms = [each["latency"] / 1e6 for each in calls]
    quantiles = statistics.quantiles(taken_ms, n=100) if len(taken_ms) > 1 else [*taken_ms] * 99
    return Step(rate, len(calls), sum(each["status"] != "OK" for each in calls), quantiles[49], quantiles[98])


def judged(kind: str, steps: Iterable[Step], limits: Limits) -> Verdict:
    """Where the knee is, and whether the rate was reached."""
    steps, knee = list(steps), None
    for step in steps:
        if not step.is_within(limits):
            break
        knee = step
    return Verdict(kind, steps, knee, knee is not None and knee.rate >= limits.rate)


def _run(kind: str, target: str, payloads: Path, steps: int) -> list[Step]:
    """Lets ghz call."""
    file = _KIT / f"{kind}.json"
    config, template = json.loads(file.read_text()), payloads / f"{kind}.json"
    step_s = float(config["load-step-duration"].removesuffix("s"))
    data = ["--data-file", str(template)] if template.exists() else ["--binary-file", str(payloads / f"{kind}.bin")]
    report = payloads / f"{kind}.report.json"
    command = [str(ROOT / "scripts" / "ghz"), "--config", str(file), *data, "--duration", f"{steps * step_s:.0f}s"]
    command += ["--format", "json", "--output", str(report), target]
    subprocess.run(command, check=True, cwd=ROOT, timeout=_LONGEST_RUN_S)
    return steps_of(json.loads(report.read_text()), config)


def _target(run: Mapping[str, Any], call: str) -> str:
    if "IngestService" in call:
        return str(run["ingest"])
    if "SearchService" in call:
        return str(run["search"])
    return str(run["encoders"][DETECTOR if "DetectorService" in call else ENCODER])


@contextmanager
def _running(run_file: Path | None, folder: Path) -> Iterator[dict[str, Any]]:
    if run_file is not None:
        yield json.loads(run_file.read_text())
    else:
        with system(folder / "data") as run:
            yield run


def main() -> None:
    """Reads the command line, calls, prints and writes."""
    kinds = sorted(file.stem for file in _KIT.glob("*.json") if file.stem != "limits")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"default: all, {', '.join(kinds)}")
    parser.add_argument("--run", type=Path, help="the run.json of a running system")
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(kinds):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    limits = {kind: Limits(**each) for kind, each in json.loads((_KIT / "limits.json").read_text()).items()}
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="fovea-load-") as name, disturbance() as disturbed:
        folder = Path(name)
        images = [file.read_bytes() for file in photos(_IMAGES, folder / "photos")]
        with _running(arguments.run, folder) as run:
            write_payloads(run, folder, images)
            print(f"{'kind':18} {'knee':>8} {'p50':>8} {'p99':>8}")
            for kind in arguments.kinds or kinds:
                call = json.loads((_KIT / f"{kind}.json").read_text())["call"]
                verdict = judged(kind, _run(kind, _target(run, call), folder, arguments.steps), limits[kind])
                verdicts.append(verdict)
                print(_line(verdict, limits[kind]), flush=True)
    _write(verdicts, limits, disturbed.share)
    sys.exit(0 if all(verdict.is_passed for verdict in verdicts) else 1)


def _write(verdicts: Iterable[Verdict], limits: Mapping[str, Limits], disturbance_share: float) -> None:
    """Replaces the results of these kinds and keeps those of the others."""
    known = json.loads(_RESULTS.read_text())["kinds"] if _RESULTS.exists() else {}
    for verdict in verdicts:
        shown = {"limits": asdict(limits[verdict.kind]), "disturbance": round(disturbance_share, 3)}
        known[verdict.kind] = {**asdict(verdict), **shown}
    machine = {"cores": os.cpu_count(), "processor": platform.machine()}
    results = {"command": "make load", "machine": machine, "kinds": dict(sorted(known.items()))}
    _RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def _line(verdict: Verdict, limits: Limits) -> str:
    outcome = "passed" if verdict.is_passed else f"missed: {limits.rate:g}/s within {limits.p99_ms:g} ms"
    knee = verdict.knee
    if knee is None:
        first = verdict.steps[0]
        seen = f"{first.rate:g}/s had a p99 of {first.p99_ms:.0f} ms and {first.errors} errors in {first.calls} calls"
        return f"{verdict.kind:18} {'-':>8} {'-':>8} {'-':>8}  {outcome}, {seen}"
    return f"{verdict.kind:18} {knee.rate:6.0f}/s {knee.p50_ms:5.0f} ms {knee.p99_ms:5.0f} ms  {outcome}"


if __name__ == "__main__":
    main()
