"""Counts and durations of one model's `ModelInfer` calls since the start, as Triton's tools read them."""

import time
from threading import Lock

from encoders.bundle import Bundle
from fovea.oip.v2 import open_inference_pb2 as oip
from services.encoder.call import StageTimings


class InferenceStatistics:
    """The sums of one model; safe to use from many threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._lock = Lock()
        self._bundle = bundle
        self._last_s = 0.0
        self._inputs = self._calls = self._failures = 0
        self._total_s = self._queue_s = self._decode_s = self._infer_s = self._failed_s = 0.0

    def note(self, timings: StageTimings, inputs: int) -> None:
        """One call was answered."""
        with self._lock:
            self._last_s = time.time()
            self._calls += 1
            self._inputs += inputs
            self._total_s += timings.total_s
            self._queue_s += timings.queue_s
            self._decode_s += timings.decode_s
            self._infer_s += timings.infer_s

    def note_failure(self, seconds: float) -> None:
        """One call failed."""
        with self._lock:
            self._failures += 1
            self._failed_s += seconds

    def as_message(self) -> oip.ModelStatistics:
        """The sums as they are now."""
        with self._lock:
            return oip.ModelStatistics(
                name=self._bundle.name,
                version=self._bundle.version,
                last_inference=int(self._last_s * 1000),
                inference_count=self._inputs,
                execution_count=self._calls,
                inference_stats=oip.InferStatistics(
                    success=_duration(self._calls, self._total_s),
                    fail=_duration(self._failures, self._failed_s),
                    queue=_duration(self._calls, self._queue_s),
                    compute_input=_duration(self._calls, self._decode_s),
                    compute_infer=_duration(self._calls, self._infer_s),
                    compute_output=_duration(self._calls, 0.0),
                ),
            )


def _duration(count: int, seconds: float) -> oip.StatisticDuration:
    return oip.StatisticDuration(count=count, ns=int(seconds * 1e9))
