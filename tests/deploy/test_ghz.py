"""The load tests of deploy/ghz: every configuration can run, and its verdict is that of its limits."""

import json
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

import fovea.detector.v1.detector_pb2
import fovea.encoder.v1.encoder_pb2
import fovea.ingest.v1.ingest_pb2
import fovea.oip.v2.open_inference_pb2
import fovea.search.v1.search_pb2  # noqa: F401 - the pool knows a service when its module is imported
from benchmarks.ghz import Limits, Step, judged, steps_of

KIT = Path(__file__).parents[2] / "deploy" / "ghz"
KINDS = sorted(file.stem for file in KIT.glob("*.json") if file.stem != "limits")


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_calls_a_method_of_the_contract(kind: str) -> None:
    """In open loop and in steps; the rate that has to be reached is one of a step."""
    config = json.loads((KIT / f"{kind}.json").read_text())
    limits = Limits(**json.loads((KIT / "limits.json").read_text())[kind])
    service, method = config["call"].split("/")

    assert method in descriptor_pool.Default().FindServiceByName(service).methods_by_name
    assert config["async"]
    assert config["load-schedule"] == "step"
    assert (limits.rate - config["load-start"]) % config["load-step"] == 0


def test_every_method_that_answers_queries_has_one() -> None:
    """Searches, encodings, detections and the Open Inference Protocol."""
    calls = {json.loads((KIT / f"{kind}.json").read_text())["call"].split("/")[1] for kind in KINDS}
    assert {"Search", "BatchSearch", "CountFacets", "Encode", "Detect", "ModelInfer", "Ingest"} <= calls


def test_calls_are_counted_in_their_step() -> None:
    """By the time at which they were made, with their latencies and errors."""
    config = {"load-step-duration": "5s", "load-start": 4, "load-step": 2}
    calls = [(0.0, 10, "OK"), (4.9, 30, "OK"), (5.1, 50, "Unavailable")]
    details = [
        {"timestamp": f"2026-01-01T00:00:{10 + at:06.3f}Z", "latency": ms * 1e6, "status": status}
        for at, ms, status in calls
    ]
    first, second = steps_of({"details": details}, config)
    assert (first.rate, first.calls, first.errors) == (4, 2, 0)
    assert (second.rate, second.calls, second.errors, second.p99_ms) == (6, 1, 1, 50)


def test_the_knee_is_before_the_first_miss() -> None:
    """A step that is fast again behind one that missed does not count."""
    limits = Limits(p99_ms=100, error_share=0.01, rate=20)
    steps = [Step(10, 100, 0, 5, 20), Step(20, 200, 0, 5, 90), Step(30, 300, 0, 5, 400), Step(40, 400, 0, 5, 90)]
    verdict = judged("kind", steps, limits)
    assert verdict.knee == steps[1]
    assert verdict.is_passed
    assert not judged("kind", [Step(10, 100, 2, 5, 20)], limits).is_passed
