"""Permits bound what is under way."""

import pytest
from prometheus_client import REGISTRY, Gauge

from rpc.errors import Overloaded
from rpc.permits import Permits, refusal


@pytest.fixture
def permits() -> Permits:
    return Permits(3, reason="FULL", message="full; send again a little later")


def test_a_bound_that_is_reached_refuses_at_once_and_counts_it(permits: Permits) -> None:
    """What is asked for is granted as a whole or not at all."""
    before = REGISTRY.get_sample_value("fovea_rejected_total", {"reason": "FULL"}) or 0
    with permits.acquire(2):
        with pytest.raises(Overloaded, match="full; send again") as refused:
            permits.acquire(2)
        assert refused.value.reason == "FULL"
        with permits.acquire():
            assert permits.held() == 3

    assert permits.held() == 0
    assert REGISTRY.get_sample_value("fovea_rejected_total", {"reason": "FULL"}) == before + 1


def test_more_than_the_limit_is_granted_alone(permits: Permits) -> None:
    """A call larger than the bound is not refused for ever."""
    with permits.acquire(10):
        assert permits.held() == 3
        with pytest.raises(Overloaded):
            permits.acquire()
    with permits.acquire(), pytest.raises(Overloaded):
        permits.acquire(10)


def test_permits_are_given_back_once(permits: Permits) -> None:
    """A holder may give them back before its scope ends; the end then gives nothing back again."""
    with permits.acquire(2), permits.acquire() as permit:
        permit.close()
        assert permits.held() == 2

    assert permits.held() == 0


def test_a_gauge_shows_what_is_held() -> None:
    """Metrics follow each change."""
    gauge = Gauge("test_permits_held", "Permits held in a test.", registry=None)
    permits = Permits(3, reason="FULL", message="full", gauge=gauge)
    with permits.acquire(2):
        assert [sample.value for metric in gauge.collect() for sample in metric.samples] == [2]
    assert [sample.value for metric in gauge.collect() for sample in metric.samples] == [0]


def test_a_refusal_names_its_reason() -> None:
    """Other bounds refuse in the same way."""
    assert refusal("OTHER", "too much").reason == "OTHER"
