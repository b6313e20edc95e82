"""Traces, where no collector answers and where none is asked for."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rpc import tracing
from rpc.tracing import call_span, current, current_trace_id, propagated, span
from tests.support.processes import REPOSITORY


def test_without_a_collector_there_is_nothing() -> None:
    """Calls cost nothing more, and pass nothing on."""
    with (
        call_span([("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]),
        span("inner") as inner,
    ):
        assert not inner.is_recording()
        assert (current(), current_trace_id(), propagated()) == (None, "", ())


def test_of_a_failure_only_its_kind_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of an exception may hold keys and paths."""
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    with call_span(()), pytest.raises(KeyError), span("part"):
        raise KeyError("/secret/path")

    part, _ = exported.get_finished_spans()
    assert "secret" not in part.to_json()
    assert (part.attributes or {})["error.type"] == "KeyError"
    assert not part.status.is_ok


@pytest.mark.parametrize("wait_s", [0, 6], ids=["at once", "amid retries"])
def test_a_collector_that_is_away_does_not_delay_the_end(wait_s: float) -> None:
    """Supervisors wait for a few seconds only."""
    code = (
        "import atexit, time; from rpc.tracing import call_span, configure_tracing; configure_tracing('test')\n"
        f"with call_span(()): pass\ntime.sleep({wait_s}); began_s = time.monotonic()\n"
        "atexit._run_exitfuncs(); print(time.monotonic() - began_s)"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, check=True
    )

    assert float(ended.stdout) < 2
