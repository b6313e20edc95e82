"""The metrics of several processes as those of one: what they count is added up, also that of processes that have ended."""

from collections.abc import Callable, Iterable, Iterator
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
    """Adds up the metrics of processes, by their ids and in Prometheus's text; `refresh` updates those that run."""

    def __init__(self, refresh: Callable[[], object]) -> None:
        self._refresh = refresh
        self._running: dict[int, str] = {}
        self._ended: set[int] = set()
        self._counted: list[Metric] = []
        self._lock = Lock()

    def update(self, process: int, text: str) -> None:
        """What a process shows now; nothing more of one that has ended."""
        with self._lock:
            if process not in self._ended:
                self._running[process] = text

    def end(self, process: int) -> None:
        """Go on counting what a process had counted that has ended: a total that falls would look like a new start."""
        with self._lock:
            self._ended.add(process)
            metrics = text_string_to_metric_families(self._running.pop(process, ""))
            counted = (metric for metric in metrics if metric.type in _COUNTED)
            self._counted = list(_added_up([*self._counted, *counted]))

    def collect(self) -> Iterator[Metric]:
        """The totals."""
        self._refresh()
        with self._lock:
            metrics, texts = list(self._counted), list(self._running.values())
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
