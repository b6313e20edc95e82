"""The encoder beside bare ONNX Runtime: how busy the model is kept, and how much of its throughput is served."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import write_requests
from benchmarks.measure import median_ratio, p50
from benchmarks.raw import noise
from benchmarks.servers import ROOT, EncoderProcess, encoder
from encoders.bundle import Bundle
from fovea.oip.v2 import open_inference_pb2 as oip

CALLERS = 32
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_SETTLE_S = 1.0
_BUSY = re.compile(r"^fovea_model_busy_seconds_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EncoderFigures:
    """`model_busy` is a share of the wall time; `served_over_raw` a ratio of items a second."""

    model_busy: float
    served_over_raw: float
    served_per_s: float
    raw_per_s: float


def measure_encoder(bundle: Path, folder: Path, *, pairs: int, seconds: float) -> EncoderFigures:
    """Runs load and bare loop in turn, one ONNX Runtime thread each, and takes the medians of the pairs."""
    requests = folder / "encoder.requests"
    write_requests(requests, [_infer_request(Bundle.load(bundle))])
    busy, rates = [], []
    for _ in range(pairs):
        with encoder(bundle, threads=1) as process:
            share, served = _loaded(process, requests, seconds)
        busy.append(share)
        rates.append((served, _raw(bundle, seconds)))
    served_per_s, raw_per_s = (p50([pair[side] for pair in rates]) for side in (0, 1))
    return EncoderFigures(p50(busy), median_ratio(rates), served_per_s, raw_per_s)


def _loaded(process: EncoderProcess, requests: Path, seconds: float) -> tuple[float, float]:
    """The share of the time that the model computes, and the items served a second, both under load."""
    command = [sys.executable, "-m", "benchmarks.load", process.target, _METHOD, str(requests)]
    arguments = ["--callers", str(CALLERS), "--seconds", str(seconds + 2 * _SETTLE_S)]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None, "the load's figures are read from its output"
        time.sleep(2 * _SETTLE_S)
        started_s, before_s = time.perf_counter(), _busy_s(process)
        time.sleep(seconds - _SETTLE_S)
        took_s, computed_s = time.perf_counter() - started_s, _busy_s(process) - before_s
        figures = json.loads(load.stdout.read())
    if figures["errors"]:
        raise RuntimeError(f"the encoder failed under load: {figures['errors']}")
    return computed_s / took_s, figures["calls"] / figures["seconds"]


def _busy_s(process: EncoderProcess) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.metrics_port}/metrics", timeout=5) as page:
        found = _BUSY.search(page.read().decode())
    assert found is not None, "the encoder counts the seconds that its model computes"
    return float(found[1])


def _raw(bundle: Path, seconds: float) -> float:
    command = [sys.executable, "-m", "benchmarks.raw", str(bundle), "--seconds", str(seconds)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return float(json.loads(output)["per_s"])


def _infer_request(bundle: Bundle) -> bytes:
    width_px, height_px = bundle.image_preprocessing.size
    tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, height_px, width_px, 3])
    pixels = noise((width_px, height_px), 1).tobytes()
    request = oip.ModelInferRequest(model_name=bundle.name, inputs=[tensor], raw_input_contents=[pixels])
    return request.SerializeToString()
