"""The encoder beside bare ONNX Runtime: how busy the model is kept, how much of its throughput is served, and at what cost.

    python -m benchmarks.encoder BUNDLE [--pairs 3] [--seconds 6]

Prints one JSON line. Of the figures `overhead_ms` suffers least from other work on the machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import write_requests
from benchmarks.measure import disturbance, median_ratio, p50
from benchmarks.raw import noise
from benchmarks.servers import ROOT, EncoderProcess, encoder
from encoders.bundle import Bundle
from fovea.encoder.v1 import encoder_pb2
from fovea.oip.v2 import open_inference_pb2 as oip

CALLERS = 32
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_SETTLE_S = 1.0
_METRICS = ("fovea_model_busy_seconds_total", "fovea_inference_items_total", "process_cpu_seconds_total")


@dataclass(frozen=True, slots=True)
class EncoderFigures:
    """`model_busy` is a share of the wall time; `served_over_raw` a ratio of items a second.

    `overhead_ms` is the processor time of the server for a call beyond that of bare ONNX Runtime for an item.
    """

    overhead_ms: float
    model_busy: float
    served_over_raw: float
    served_per_s: float
    raw_per_s: float


def measure_encoder(bundle: Path, folder: Path, *, pairs: int, seconds: float) -> EncoderFigures:
    """Runs load and bare loop in turn, one ONNX Runtime thread each, and takes the medians of the pairs."""
    requests = folder / "encoder.requests"
    write_requests(requests, [infer_request(Bundle.load(bundle))])
    busy, rates, overheads_ms = [], [], []
    for _ in range(pairs):
        with encoder(bundle, threads=1) as process:
            loaded = _loaded(process, requests, seconds)
        raw = _raw(bundle, seconds)
        busy.append(loaded.busy)
        rates.append((loaded.per_s, raw["per_s"]))
        overheads_ms.append(loaded.cpu_ms - raw["cpu_ms"])
    served_per_s, raw_per_s = (p50([pair[side] for pair in rates]) for side in (0, 1))
    return EncoderFigures(p50(overheads_ms), p50(busy), median_ratio(rates), served_per_s, raw_per_s)


@dataclass(frozen=True, slots=True)
class _Loaded:
    busy: float
    per_s: float
    cpu_ms: float


def _loaded(process: EncoderProcess, requests: Path, seconds: float) -> _Loaded:
    """The share of the time that the model computes, calls served a second, and what one costs, all under load."""
    command = [sys.executable, "-m", "benchmarks.load", process.target, _METHOD, str(requests)]
    arguments = ["--callers", str(CALLERS), "--seconds", str(seconds + 2 * _SETTLE_S)]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None, "the load's figures are read from its output"
        time.sleep(2 * _SETTLE_S)
        started_s, before = time.perf_counter(), _metrics(process)
        time.sleep(seconds - _SETTLE_S)
        took_s, after = time.perf_counter() - started_s, _metrics(process)
        figures = json.loads(load.stdout.read())
    if figures["errors"]:
        raise RuntimeError(f"the encoder failed under load: {figures['errors']}")
    busy_s, items, cpu_s = (after[name] - before[name] for name in _METRICS)
    return _Loaded(busy_s / took_s, figures["calls"] / figures["seconds"], 1000 * cpu_s / items)


def _metrics(process: EncoderProcess) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.metrics_port}/metrics", timeout=5) as page:
        samples = [line.rsplit(" ", 1) for line in page.read().decode().splitlines() if not line.startswith("#")]
    values = {sample.partition("{")[0]: float(value) for sample, value in samples}
    return {name: values[name] for name in _METRICS}


def _raw(bundle: Path, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.raw", str(bundle), "--seconds", str(seconds)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return dict(json.loads(output))


def encode_requests(bundle: Bundle, images: list[Path]) -> list[bytes]:
    """A call of EncoderService for each image file."""
    inputs = [encoder_pb2.Input(image=image.read_bytes()) for image in images]
    return [encoder_pb2.EncodeRequest(encoder=bundle.name, inputs=[each]).SerializeToString() for each in inputs]


def infer_request(bundle: Bundle) -> bytes:
    """A call of the Open Inference Protocol with one image of noise that has the model's size."""
    width_px, height_px = bundle.image_preprocessing.size
    tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, height_px, width_px, 3])
    pixels = noise((width_px, height_px), 1).tobytes()
    request = oip.ModelInferRequest(model_name=bundle.name, inputs=[tensor], raw_input_contents=[pixels])
    return request.SerializeToString()


def main() -> None:
    """Reads the command line, measures, and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as folder, disturbance() as disturbed:
        figures = measure_encoder(arguments.bundle, Path(folder), pairs=arguments.pairs, seconds=arguments.seconds)
    rounded = {name: round(value, 3) for name, value in asdict(figures).items()}
    print(json.dumps({**rounded, "disturbance": round(disturbed.share, 3)}))


if __name__ == "__main__":
    main()
