import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from encoders.errors import DecodingCancelled
from encoders.images.decode_memory import DecodeBudget


def test_no_kind_of_image_needs_more_memory_than_expected() -> None:
    """What is reserved from the header covers the peak of decoding, for every way of storing pixels."""
    script = Path(__file__).with_name("decode_peaks.py")
    # Freed memory goes back at once, so that one image's peak is not hidden in what the one before left.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": str(Path.cwd())}
    printed = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=environment
    ).stdout

    peaks: dict[str, tuple[int, int]] = json.loads(printed)

    assert {kind: peak for kind, peak in peaks.items() if peak[1] > peak[0]} == {}
    # The estimate would be useless if it were always far too much.
    assert all(expected < 24 * 2000 * 2000 for kind, (expected, _) in peaks.items() if "megapixels" not in kind)
    # A large JPEG takes what the fraction takes that is decoded, and a progressive one its coefficients.
    assert peaks["JPEG, 108 megapixels"][0] < 7 * 32_000_000
    assert peaks["JPEG, 54 megapixels, progressive"][0] < 7 * 54_000_000


def test_the_budget_is_held_and_freed_in_order() -> None:
    """A large image is decoded before smaller ones that came later."""
    budget = DecodeBudget(100)
    order: list[str] = []
    waiting = threading.Event()

    def decode(name: str, size: int) -> None:
        waiting.set()
        with budget.reserve(size, 20):
            order.append(name)

    with budget.reserve(60, 20):
        threads = []
        for name, size in (("large", 90), ("small", 10)):
            waiting.clear()
            threads.append(threading.Thread(target=decode, args=(name, size)))
            threads[-1].start()
            assert waiting.wait(20)
            _until(lambda: len(budget._waiting) == len(threads))
        assert order == []
    for thread in threads:
        thread.join(20)

    assert order == ["large", "small"]
    assert budget.free_bytes == 100


def test_an_image_larger_than_the_budget_passes_alone() -> None:
    """An image larger than the budget reserves all of it."""
    budget = DecodeBudget(100)

    with budget.reserve(1000, 1):
        assert budget.free_bytes == 0
        with pytest.raises(TimeoutError), budget.reserve(1, 0.01):
            pass
        with pytest.raises(DecodingCancelled), budget.reserve(1, 20, lambda: True):
            pass

    assert budget.free_bytes == 100


def _until(condition: object) -> None:
    assert callable(condition)
    tick = threading.Event()
    while not condition():
        tick.wait(0.005)
