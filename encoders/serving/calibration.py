"""How many inputs a model should run at once on this machine, found by trying."""

import time
from collections.abc import Callable, Mapping, Sequence

ENOUGH_S = 1.5
NEARLY_BEST = 0.97
# What a batch costs besides the model, in Python: the reason why a small model should not run inputs singly.
HAND_OVER_S = 0.0005
# A wait that no caller notices.
SHORT_S = 0.010
# Two inputs one by one, with room for noise: where batches save nothing, two is the short batch.
SHORT_RUNS = 2.5
_FIXED_SIZES = (1, 8, 32, 64)


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4 … up to and including `largest`: the buckets that are warmed up."""
    sizes = [1]
    while sizes[-1] * 2 < largest:
        sizes.append(sizes[-1] * 2)
    return sizes if largest == 1 else [*sizes, largest]


def best_batch(run: Callable[[int], object], largest: int) -> int:
    """Time every bucket, larger ones while that takes less than about 1.5 s, and choose."""
    durations_s: dict[int, float] = {}
    stop_s = time.perf_counter() + ENOUGH_S
    for size in batch_sizes(largest):
        run(size)
        durations_s[size] = min(timed(run, size) for _ in range(3))
        if time.perf_counter() > stop_s:
            break
    return smallest_of_the_best(durations_s)


def fixed_sizes(largest: int) -> list[int]:
    """The few sizes for which a GPU keeps a session or a CUDA graph each, up to and including `largest`."""
    return [*(size for size in _FIXED_SIZES if size < largest), largest]


def seconds_in_turn(run: Callable[[int], float], sizes: Sequence[int]) -> dict[int, float]:
    """The least of three runs of each size, taken in turn, as batches come: a run that follows its like says less."""
    for size in sizes:
        run(size)
    rounds = [{size: run(size) for size in sizes} for _ in range(3)]
    return {size: min(durations_s[size] for durations_s in rounds) for size in sizes}


def smallest_of_the_best(durations_s: Mapping[int, float]) -> int:
    """Choose from seconds by batch size: the smallest within 3 % of the most items a second."""
    rates = {size: size / (HAND_OVER_S + duration_s) for size, duration_s in durations_s.items()}
    return min(size for size, rate in rates.items() if rate >= NEARLY_BEST * max(rates.values()))


def short_batch(durations_s: Mapping[int, float]) -> int:
    """Choose from seconds by batch size: the largest that takes at most 10 ms or `SHORT_RUNS` times as long as one input.

    An input that finds the model busy waits for such a batch, and most models lose little throughput by it.
    """
    bound_s = max(SHORT_S, SHORT_RUNS * durations_s[1])
    return max(size for size, duration_s in durations_s.items() if size == 1 or duration_s <= bound_s)


def timed(run: Callable[[int], object], size: int) -> float:
    """Run one batch of that size; returns the seconds it took."""
    started_s = time.perf_counter()
    run(size)
    return time.perf_counter() - started_s
