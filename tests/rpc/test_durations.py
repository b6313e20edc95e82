"""Durations that are counted many at once show what Prometheus's own histogram shows."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from random import Random

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from rpc.durations import Durations

BUCKETS_S = (0.001, 0.01, 0.1, 1.0)


def lines(registry: CollectorRegistry) -> list[str]:
    """What a scrape shows, without the moment of creation and the last digits of sums."""
    text = generate_latest(registry).decode()
    shown = [line for line in text.splitlines() if "_created" not in line]
    return [re.sub(r"(?<=\.\d{6})\d+$", "", line) for line in shown]


def test_the_page_is_that_of_a_histogram() -> None:
    """Names, buckets, counts and sums agree, values on a bucket's bound and beyond the last one included."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations("stage_seconds", "Time.", ["stage", "lane"], buckets_s=BUCKETS_S, registry=ours)
    histogram = Histogram("stage_seconds", "Time.", ["stage", "lane"], buckets=BUCKETS_S, registry=theirs)
    draw = Random(7)
    for _ in range(3):
        for _ in range(500):
            labels = (draw.choice("ab"), draw.choice("xy"))
            seconds = draw.choice([*BUCKETS_S, 2.5, draw.expovariate(10)])
            durations.observe(labels, seconds)
            histogram.labels(*labels).observe(seconds)

        assert sorted(lines(ours)) == sorted(lines(theirs))


def test_no_value_is_lost_among_threads_and_scrapes() -> None:
    """Threads add more than may wait at once while the page is read."""
    registry = CollectorRegistry()
    durations = Durations("busy_seconds", "Time.", ["stage"], buckets_s=BUCKETS_S, registry=registry)
    switching_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def add(_: int) -> None:
        for number in range(15_000):
            durations.observe(("a",), 0.5)
            if number % 5_000 == 0:
                generate_latest(registry)

    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(4)))
    finally:
        sys.setswitchinterval(switching_s)

    assert registry.get_sample_value("busy_seconds_count", {"stage": "a"}) == 60_000
