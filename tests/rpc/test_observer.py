"""What a call leaves behind."""

import logging
import socket

import httpx
import pytest
from prometheus_client import REGISTRY

from rpc.observer import ObservedCall, stage, start_metrics
from testbed.servers import free_port


def observed(service: str, method: str, code: str) -> float:
    """How many such calls were counted."""
    labels = {"service": service, "method": method, "code": code}
    return REGISTRY.get_sample_value("fovea_requests_total", labels) or 0


def test_a_call_is_counted_timed_and_logged_under_its_labels_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A face may learn the method and the status late."""
    caplog.set_level(logging.INFO)
    with ObservedCall("tests", "GET", "id-1") as call:
        call.method, call.code = "GET /things", "404"

    assert observed("tests", "GET /things", "404") == 1
    [line] = caplog.records
    assert line.getMessage() == "call"
    fields = {name: getattr(line, name) for name in ("service", "method", "code", "request_id")}
    assert fields == {"service": "tests", "method": "GET /things", "code": "404", "request_id": "id-1"}
    assert getattr(line, "duration_ms") >= 0  # noqa: B009 - a field of this line only


def test_a_call_without_a_status_counts_as_cancelled() -> None:
    """Its caller left before there was one."""
    with pytest.raises(KeyboardInterrupt), ObservedCall("tests", "Cut", ""):
        raise KeyboardInterrupt

    assert observed("tests", "Cut", "CANCELLED") == 1


def test_a_fault_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    """Those who run the service read what the caller does not see."""
    with ObservedCall("tests", "Fail", "id-2") as call:
        call.log_fault(KeyError("the true reason"))

    [fault] = [record for record in caplog.records if record.exc_info]
    assert "the true reason" in str(fault.exc_info)


@pytest.mark.parametrize(("logged", "code", "lines"), [(0, "OK", 0), (1, "OK", 40), (0, "UNAVAILABLE", 40)])
def test_successful_calls_are_logged_as_often_as_asked_and_failed_ones_always(
    caplog: pytest.LogCaptureFixture, logged: float, code: str, lines: int
) -> None:
    """Every call is counted, whatever its line."""
    caplog.set_level(logging.INFO)
    method = f"Logged{logged}{code}"
    for _ in range(40):
        with ObservedCall("tests", method, "", logged=logged) as call:
            call.code = code

    assert len(caplog.records) == lines
    assert observed("tests", method, code) == 40


def test_a_part_of_the_successful_calls_can_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A tenth of a thousand, within four standard deviations."""
    caplog.set_level(logging.INFO)
    for _ in range(1000):
        with ObservedCall("tests", "Sampled", "", logged=0.1) as call:
            call.code = "OK"

    assert 60 < len(caplog.records) < 140


def test_a_stage_is_timed() -> None:
    """Its duration is one observation."""
    with stage("tests"):
        pass

    assert REGISTRY.get_sample_value("fovea_stage_duration_seconds_count", {"stage": "tests"}) == 1


def test_metrics_listen_where_the_process_listens() -> None:
    """A process on loopback shows its metrics there and at no other address of the machine."""
    port = free_port()

    start_metrics("127.0.0.1:0", port)

    assert "fovea_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "localhost:50051", "[::1]:50051"])
def test_any_form_of_address_is_understood(address: str) -> None:
    """Names, all addresses and IPv6 included."""
    port = free_port()

    start_metrics(address, port)

    host = address.rpartition(":")[0]
    assert httpx.get(f"http://{host}:{port}/metrics", trust_env=False).status_code == 200
