"""How many inputs a model should take at once on this machine, found by trying."""

import time
from collections.abc import Callable

ENOUGH_S = 1.5
NEARLY_BEST = 0.97


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4 … up to and including `largest`: the buckets that are warmed up."""
    sizes = [1]
    while sizes[-1] * 2 < largest:
        sizes.append(sizes[-1] * 2)
    return sizes if largest == 1 else [*sizes, largest]


def best_batch(run: Callable[[int], None], largest: int) -> int:
    """Find the smallest batch within 3 % of the best items a second; gives up on larger ones after about 1.5 s."""
    rates: dict[int, float] = {}
    stop_s = time.perf_counter() + ENOUGH_S
    for size in batch_sizes(largest):
        run(size)
        rates[size] = size / min(_timed(run, size) for _ in range(3))
        if time.perf_counter() > stop_s:
            break
    return min(size for size, rate in rates.items() if rate >= NEARLY_BEST * max(rates.values()))


def _timed(run: Callable[[int], None], size: int) -> float:
    started_s = time.perf_counter()
    run(size)
    return time.perf_counter() - started_s
