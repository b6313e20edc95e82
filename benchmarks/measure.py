"""How figures are made: interleaved pairs, medians, ratios, and how disturbed the machine was meanwhile."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Disturbance:
    """Share of the machine's time that others took, 0..1, set when the block ends."""

    share: float = 0.0


def p50(durations_s: list[float]) -> float:
    """The median duration in seconds."""
    return statistics.median(durations_s)


def p99(durations_s: list[float]) -> float:
    """The duration in seconds that one in a hundred exceeds; it takes two or more."""
    return statistics.quantiles(durations_s, n=100)[98]


def durations(work: Callable[[], object], *, for_s: float, warm: int = 3) -> list[float]:
    """Repeats `work` for about `for_s` seconds and returns each duration in seconds."""
    for _ in range(warm):
        work()
    taken: list[float] = []
    ends_s = time.perf_counter() + for_s
    while time.perf_counter() < ends_s:
        started_s = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started_s)
    return taken


def called_in_turn(calls: Mapping[str, Callable[[], object]], *, turns: int, warm: int = 3) -> dict[str, list[float]]:
    """Makes every call once a turn and returns each one's durations in seconds, the first turns left out."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm + turns):
        for name, call in calls.items():
            started_s = time.perf_counter()
            call()
            if turn >= warm:
                taken[name].append(time.perf_counter() - started_s)
    return taken


def p50_each(durations_s: Mapping[str, list[float]]) -> dict[str, float]:
    """The median duration of each call in seconds."""
    return {name: p50(taken) for name, taken in durations_s.items()}


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    """The median over the pairs of first / second."""
    return statistics.median(first / second for first, second in pairs)


@contextmanager
def disturbance() -> Iterator[Disturbance]:
    """Tells how much of the processors' time was stolen by other machines or spent on niced work."""
    seen = Disturbance()
    before = _ticks()
    yield seen
    spent = [after - earlier for after, earlier in zip(_ticks(), before, strict=True)]
    # /proc/stat: user nice system idle iowait irq softirq steal
    seen.share = (spent[1] + spent[7]) / max(1, sum(spent))


def _ticks() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
