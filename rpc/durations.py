"""A histogram of durations for paths that every call takes: observing one appends it, counting is done for many at once."""

from collections import deque
from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_MAX_WAITING = 10_000

Labels = tuple[str, ...]


class Durations(Collector):
    """Shown as Prometheus's own histogram is. `observe` takes a fifth of a microsecond; a `Histogram` takes six.

    Values are counted when the metrics are read, and when 10,000 of them wait.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets_s: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._buckets_s = np.asarray(buckets_s)
        self._waiting: deque[tuple[Labels, float]] = deque()
        self._lock = Lock()
        # For each set of labels: how many values fell into each bucket, the last one without an end; and their sum.
        self._counts: dict[Labels, np.ndarray] = {}
        self._sums_s: dict[Labels, float] = {}
        registry.register(self)

    def observe(self, labels: Labels, seconds: float) -> None:
        """Adds one duration; safe to use from all threads."""
        self._waiting.append((labels, seconds))
        if len(self._waiting) >= _MAX_WAITING:
            self._count()

    def describe(self) -> Iterable[Metric]:
        """The metric without its values, which the registry asks for to find names that stand twice."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterable[Metric]:
        """The metric with all values so far."""
        self._count()
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [*map(floatToGoString, self._buckets_s), "+Inf"]
        with self._lock:
            for labels, counts in self._counts.items():
                up_to = [float(count) for count in counts.cumsum()]
                family.add_metric(labels, list(zip(bounds, up_to, strict=True)), self._sums_s[labels])
        yield family

    def _count(self) -> None:
        with self._lock:
            values: dict[Labels, list[float]] = {}
            # Only what waits now: other threads go on adding.
            for _ in range(len(self._waiting)):
                labels, seconds = self._waiting.popleft()
                values.setdefault(labels, []).append(seconds)
            for labels, seconds_each in values.items():
                buckets = np.searchsorted(self._buckets_s, seconds_each)
                counts = np.bincount(buckets, minlength=len(self._buckets_s) + 1)
                self._counts[labels] = self._counts.get(labels, 0) + counts
                self._sums_s[labels] = self._sums_s.get(labels, 0.0) + sum(seconds_each)
