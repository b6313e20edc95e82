"""What a GPU is worth behind Fovea: raw limits, sizes in turn, and what is served to 1 to 256 callers, as a table.

    python -m benchmarks.networks resnet50 --out FOLDER --fp16       once, where torch is
    python -m benchmarks.gpu FOLDER/resnet50 [--provider cuda] [--seconds 2] [--callers 1 16 64 256] [--fronts 1 4 8]

Takes less than eight minutes on one GPU with one number of fronts, three more for each further one, needs no network, and writes docs/results/gpu-NAME.json beside the page that it
prints. `--provider cpu --seconds 0.5 --callers 1 4` tries the script itself where there is no GPU.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime

from benchmarks.encoder import encode_requests, infer_request
from benchmarks.load import write_requests
from benchmarks.measure import disturbance
from benchmarks.photos import photos
from benchmarks.raw import noise
from benchmarks.servers import ROOT, EncoderProcess, encoder
from encoders.bundle import Bundle
from encoders.errors import ModelError
from encoders.serving.providers import CPU, CUDA, Provider, SessionOptions, runtime_options, runtime_providers
from encoders.serving.runs import AnySize, CapturedSize, OneSize
from encoders.serving.session import EmbeddingSession

_METHODS = {
    "tensors": "/inference.GRPCInferenceService/ModelInfer",
    "JPEGs": "/fovea.encoder.v1.EncoderService/Encode",
}
# One process of the load generator sends some 2,000 calls a second. Several connections, because each lands on one front.
_LOADS = 4
_CONNECTIONS = 4
_IN_TURN = (1, 16)
_COMPARED = 32
_OUTPUT = ("embedding",)

Row = dict[str, Any]


def raw_limits(bundle: Bundle, precision: str, provider: str, *, batch: int, seconds: float) -> Iterator[Row]:
    """Items a second of ONNX Runtime alone: a call of its session, a bound session, and a captured CUDA graph."""
    options = SessionOptions()
    pixels = {"image": noise(bundle.image_preprocessing.size, batch)}

    def opened(*, cuda_graph: bool = False) -> onnxruntime.InferenceSession:
        providers = runtime_providers(provider, options, precision, cuda_graph=cuda_graph)
        return onnxruntime.InferenceSession(str(bundle.path_of(precision)), runtime_options(options), providers)

    ways: Row = {
        "bound for each run": lambda: AnySize(opened(), _OUTPUT),
        "bound once": lambda: OneSize(opened(), pixels, _OUTPUT, device="cpu" if provider == CPU else "cuda"),
    }
    if provider == CUDA:
        ways["CUDA graph"] = lambda: CapturedSize(opened(cuda_graph=True), pixels, _OUTPUT)
    for name, make in ways.items():
        way = make()
        feeds = pixels if isinstance(way, AnySize) else {"image": way.staging}
        yield {"way": name, "batch": batch, "per_s": round(batch / _seconds_a_run(partial(way.run, feeds), seconds))}


def in_turn(session: EmbeddingSession, *, turns: int) -> Row:
    """Milliseconds of a batch after one of its own size, and after one of the other: they must not differ."""
    batches = {size: list(noise(session.bundle.image_preprocessing.size, size)) for size in _IN_TURN}
    alone = {size: 1000 * _seconds_a_run(lambda: session.run(batches[size]), 0.2) for size in _IN_TURN}  # noqa: B023
    mixed: dict[int, list[float]] = {size: [] for size in _IN_TURN}
    for _ in range(turns):
        for size, items in batches.items():
            started_s = time.perf_counter()
            session.run(items)
            mixed[size].append(1000 * (time.perf_counter() - started_s))
    return {
        f"batch {size}": {"alone_ms": round(alone[size], 2), "in_turn_ms": round(float(np.median(mixed[size])), 2)}
        for size in _IN_TURN
    }


def least_cosine(session: EmbeddingSession, bundle: Bundle) -> float:
    """Between the session's embeddings and those of the CPU at fp32."""
    on_cpu = EmbeddingSession(bundle, SessionOptions(provider="cpu", precision="fp32", max_batch=8))
    on_cpu.warm_up()
    pixels = list(noise(bundle.image_preprocessing.size, _COMPARED))
    found, expected = [_embeddings(each, pixels) for each in (session, on_cpu)]
    return float((found * expected).sum(axis=1).min())


def served(process: EncoderProcess, folder: Path, *, callers: list[int], seconds: float) -> Iterator[Row]:
    """Items a second and latencies by what is sent and by the number of callers."""
    for kind, method in _METHODS.items():
        for count in callers:
            yield {"kind": kind, "callers": count, **_load(process, method, folder / kind, count, seconds)}


def _load(process: EncoderProcess, method: str, requests: Path, callers: int, seconds: float) -> Row:
    callers_each = [callers // _LOADS + (number < callers % _LOADS) for number in range(min(_LOADS, callers))]
    command = [sys.executable, "-m", "benchmarks.load", process.target, method, str(requests)]
    command += ["--seconds", str(seconds), "--warm", str(seconds / 2), "--connections", str(_CONNECTIONS)]
    loads = [
        subprocess.Popen([*command, "--callers", str(count)], cwd=ROOT, stdout=subprocess.PIPE)
        for count in callers_each
    ]
    figures = [json.loads(load.communicate()[0]) for load in loads]
    return {
        "per_s": round(sum(each["calls"] / each["seconds"] for each in figures)),
        "p50_ms": round(max(each["p50_ms"] for each in figures), 1),
        "p99_ms": round(max(each["p99_ms"] for each in figures), 1),
        "errors": sum(sum(each["errors"].values()) for each in figures),
    }


def measure(bundle: Bundle, arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """All of one precision after the other."""
    write_requests(folder / "tensors", [infer_request(bundle)])
    write_requests(folder / "JPEGs", encode_requests(bundle, photos(16, folder / "photos")))
    for precision in sorted({"fp32", "fp16"} & set(bundle.precisions)):
        if arguments.provider == "cpu" and precision == "fp16":
            continue  # no CPU gains by it
        session = EmbeddingSession(bundle, SessionOptions(arguments.provider, 0, precision, arguments.max_batch))
        session.warm_up()
        provider = session.graph.provider
        row: Row = {"precision": precision, "provider": provider, "sizes": session.fixed_sizes}
        row["cosine_to_cpu"] = round(least_cosine(session, bundle), 7)
        row["in_turn"] = in_turn(session, turns=max(3, round(5 * arguments.seconds)))
        batch = session.largest_batch
        del session
        row["raw"] = list(raw_limits(bundle, precision, provider, batch=batch, seconds=arguments.seconds))
        before = _memory_mib()
        settings = {"PROVIDER": arguments.provider, "PRECISION": precision, "MAX_BATCH": str(arguments.max_batch)}
        settings |= {"MAX_IN_FLIGHT": "512", "QUEUE_LIMIT": "2048"}
        row["served"] = []
        for fronts in arguments.fronts:
            with encoder(bundle.folder, threads=0, settings=settings | {"FRONTS": str(fronts)}) as process:
                row["gpu_mib"] = _memory_mib() - before
                rates = served(process, folder, callers=arguments.callers, seconds=arguments.seconds)
                row["served"] += [{"fronts": fronts, **rate} for rate in rates]
        yield row


def _seconds_a_run(run: Any, seconds: float) -> float:
    for _ in range(4):
        run()
    runs, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < seconds:
        run()
        runs += 1
    return (time.perf_counter() - started_s) / runs


def _embeddings(session: EmbeddingSession, pixels: list[Any]) -> Any:
    batches = [pixels[at : at + session.largest_batch] for at in range(0, len(pixels), session.largest_batch)]
    found = [embedding for batch in batches for embedding in session.run(batch).results]
    return np.stack([embedding for embedding in found if not isinstance(embedding, ModelError)])


def _nvidia(field: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _memory_mib() -> int:
    return int(_nvidia("memory.used") or 0)


def page(results: Row) -> str:
    """The results as Markdown."""
    lines = [f"{results['card']}, {results['cores']} cores, `{results['command']}`, {results['seconds']} s", ""]
    for row in results["precisions"]:
        lines += [f"**{row['precision']}** on {row['provider']}, sizes {list(row['sizes'])}, {row['gpu_mib']} MiB, "]
        lines[-1] += f"least cosine to the CPU {row['cosine_to_cpu']}; in turn {json.dumps(row['in_turn'])}"
        lines += ["", "| ONNX Runtime alone | batch | a second |", "|---|---|---|"]
        lines += [f"| {each['way']} | {each['batch']} | {each['per_s']:,} |" for each in row["raw"]]
        lines += ["", "| served | fronts | callers | a second | p50 | p99 | errors |", "|---|---|---|---|---|---|---|"]
        lines += [
            f"| {each['kind']} | {each['fronts']} | {each['callers']} | {each['per_s']:,} | {each['p50_ms']} ms | {each['p99_ms']} ms | {each['errors']} |"
            for each in row["served"]
        ]
        lines += [""]
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, measures, prints the page and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--provider", choices=get_args(Provider), default="cuda")
    parser.add_argument("--max-batch", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--fronts", type=int, nargs="+", default=[1])
    parser.add_argument("--out", type=Path, help="where the figures are written; docs/results/gpu-NAME.json by default")
    arguments = parser.parse_args()
    bundle, started_s = Bundle.load(arguments.bundle), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fovea-gpu-") as folder, disturbance() as disturbed:
        precisions = list(measure(bundle, arguments, Path(folder)))
    results = {
        "command": f"python -m benchmarks.gpu {' '.join(sys.argv[1:])}",
        "card": _nvidia("name") or "no GPU",
        "cores": os.cpu_count(),
        "versions": {"onnxruntime": onnxruntime.__version__, "python": platform.python_version()},
        "seconds": round(time.monotonic() - started_s),
        "disturbance": round(disturbed.share, 4),
        "precisions": precisions,
    }
    out = arguments.out or ROOT / "docs" / "results" / f"gpu-{bundle.name}.json"
    out.write_text(json.dumps(results, indent=2) + "\n")
    print(page(results))


if __name__ == "__main__":
    main()
