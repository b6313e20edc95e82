"""How many inputs a model should take at once on this machine, found by trying."""

import time
from collections.abc import Callable, Mapping

ENOUGH_S = 1.5
NEARLY_BEST = 0.97
HAND_OVER_S = 0.0005
"""What a batch costs besides the model, in Python: the reason why a small model should not run inputs singly."""


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4 … up to and including `largest`: the buckets that are warmed up."""
    sizes = [1]
    while sizes[-1] * 2 < largest:
        sizes.append(sizes[-1] * 2)
    return sizes if largest == 1 else [*sizes, largest]


def best_batch(run: Callable[[int], None], largest: int) -> int:
    """Time every bucket, larger ones while that takes less than about 1.5 s, and choose."""
    durations_s: dict[int, float] = {}
    stop_s = time.perf_counter() + ENOUGH_S
    for size in batch_sizes(largest):
        run(size)
        durations_s[size] = min(_timed(run, size) for _ in range(3))
        if time.perf_counter() > stop_s:
            break
    return smallest_of_the_best(durations_s)


def smallest_of_the_best(durations_s: Mapping[int, float]) -> int:
    """Choose from seconds by batch size: the smallest within 3 % of the most items a second."""
    rates = {size: size / (HAND_OVER_S + duration_s) for size, duration_s in durations_s.items()}
    return min(size for size, rate in rates.items() if rate >= NEARLY_BEST * max(rates.values()))


def _timed(run: Callable[[int], None], size: int) -> float:
    started_s = time.perf_counter()
    run(size)
    return time.perf_counter() - started_s
