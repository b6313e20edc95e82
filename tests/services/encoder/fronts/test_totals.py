"""The metrics of several processes, added up."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.encoder.fronts.totals import ProcessTotals


def text(*, calls: int, in_flight: int, durations_s: tuple[float, ...] = ()) -> str:
    """What one process shows."""
    registry = CollectorRegistry()
    Counter("fovea_calls", "Calls.", ["code"], registry=registry).labels("OK").inc(calls)
    Gauge("fovea_in_flight", "Calls now.", registry=registry).set(in_flight)
    Gauge("fovea_cores", "Cores.", registry=registry).set(4)
    histogram = Histogram("fovea_seconds", "Time.", buckets=(1, 2), registry=registry)
    for seconds in durations_s:
        histogram.observe(seconds)
    return generate_latest(registry).decode()


def totals_of(*running: str, ended: tuple[str, ...] = ()) -> CollectorRegistry:
    """A registry with the totals."""
    totals = ProcessTotals(lambda: None)
    for process, each in enumerate([*ended, *running]):
        totals.update(process, each)
    for process in range(len(ended)):
        totals.end(process)
        totals.update(process, text(calls=99, in_flight=9))  # an answer that came too late
    registry = CollectorRegistry()
    registry.register(totals)
    return registry


def test_counts_gauges_and_histograms_are_added() -> None:
    """What each process counted becomes one count; what is the same in all stays as it is."""
    registry = totals_of(
        text(calls=3, in_flight=1, durations_s=(0.5,)), text(calls=4, in_flight=2, durations_s=(1.5, 9))
    )

    assert registry.get_sample_value("fovea_calls_total", {"code": "OK"}) == 7
    assert registry.get_sample_value("fovea_in_flight") == 3
    assert registry.get_sample_value("fovea_cores") == 4
    assert registry.get_sample_value("fovea_seconds_bucket", {"le": "1.0"}) == 1
    assert registry.get_sample_value("fovea_seconds_bucket", {"le": "2.0"}) == 2
    assert registry.get_sample_value("fovea_seconds_count") == 3
    assert registry.get_sample_value("fovea_seconds_sum") == 11


def test_a_count_does_not_fall_when_a_process_ends() -> None:
    """What it had counted stays; what it was doing does not."""
    ended = text(calls=5, in_flight=9, durations_s=(0.5,))
    registry = totals_of(text(calls=1, in_flight=1), ended=(ended, ended))

    assert registry.get_sample_value("fovea_calls_total", {"code": "OK"}) == 11
    assert registry.get_sample_value("fovea_in_flight") == 1
    assert registry.get_sample_value("fovea_seconds_count") == 2


def test_the_totals_are_what_prometheus_reads() -> None:
    """The page is valid text, with one description for each name."""
    page = generate_latest(totals_of(text(calls=1, in_flight=0), text(calls=2, in_flight=0))).decode()

    assert page.count("# TYPE fovea_calls_total counter") == 1
    assert 'fovea_calls_total{code="OK"} 3.0' in page
