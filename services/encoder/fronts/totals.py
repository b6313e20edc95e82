"""The metrics of several processes as those of one: what they count is added up, also that of processes that have ended."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_Key = tuple[str, tuple[tuple[str, str], ...]]

_COUNTED = frozenset({"counter", "histogram", "summary"})
# Gauges that say the same in every process.
_LARGEST = frozenset({"fovea_cores", "fovea_model", "python_info", "process_max_fds"})
_SMALLEST = frozenset({"process_start_time_seconds"})


class ProcessTotals(Collector):
    """Adds up the metrics of the processes that `running` names, each in Prometheus's text."""

    def __init__(self, running: Callable[[], Sequence[str]]) -> None:
        self._running = running
        self._ended: list[Metric] = []
        self._lock = Lock()

    def keep(self, text: str) -> None:
        """Go on counting what a process had counted that has ended: a total that falls would look like a new start."""
        counted = (metric for metric in text_string_to_metric_families(text) if metric.type in _COUNTED)
        with self._lock:
            self._ended = list(_added_up([*self._ended, *counted]))

    def collect(self) -> Iterator[Metric]:
        """The totals."""
        texts = self._running()
        with self._lock:
            metrics = list(self._ended)
        for text in texts:
            metrics += text_string_to_metric_families(text)
        yield from _added_up(metrics)


def _added_up(metrics: Iterable[Metric]) -> Iterator[Metric]:
    """One metric of each name."""
    first: dict[str, Metric] = {}
    values: dict[str, dict[_Key, float]] = {}
    for metric in metrics:
        first.setdefault(metric.name, metric)
        totals, add = values.setdefault(metric.name, {}), _addition(metric.name)
        for sample in metric.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            totals[key] = add(totals[key], sample.value) if key in totals else sample.value
    for name, totals in values.items():
        total = Metric(name, first[name].documentation, first[name].type)
        for (sample_name, labels), value in totals.items():
            total.add_sample(sample_name, dict(labels), value)
        yield total


def _addition(name: str) -> Callable[[float, float], float]:
    if name in _LARGEST:
        return max
    if name in _SMALLEST or name.endswith("_created"):
        return min
    return float.__add__
