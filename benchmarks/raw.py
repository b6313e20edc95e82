"""The raw limit: bare ONNX Runtime in a loop, without a wire, in a process of its own.

    python -m benchmarks.raw BUNDLE --seconds 4          the model alone, inputs ready in memory
    python -m benchmarks.raw BUNDLE --images FILE      decoding on all cores beside the model, each image once

Prints one JSON line: {"per_s": items a second, "batch": the batch that did best, "cpu_ms": processor time of an item, for
the model alone}.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from encoders.bundle import Bundle, Preprocessing
from encoders.images.decoding import decode, probe
from encoders.images.resizing import enough_px, resize

Pixels = npt.NDArray[np.uint8]

_TRIED_BATCHES = (1, 2, 4, 8, 16, 32)


def open_model(bundle: Bundle, *, threads: int) -> onnxruntime.InferenceSession:
    """The bundle's fp32 model on the CPU, as ONNX Runtime runs it by default."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(bundle.path_of("fp32")), options, providers=["CPUExecutionProvider"])


def best_batch(model: onnxruntime.InferenceSession, size: tuple[int, int]) -> int:
    """The batch with the most items a second."""
    return max(_TRIED_BATCHES, key=lambda count: _rate(model, noise(size, count), seconds=0.5))


def with_decoding(
    model: onnxruntime.InferenceSession, preprocessing: Preprocessing, images: list[Path], batch: int
) -> float:
    """Images a second from encoded bytes, decoded by as many threads as there are cores while the model runs."""
    started_s = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for pixels in _batches(pool.map(lambda path: _pixels(path, preprocessing), images), batch):
            model.run(["embedding"], {"image": pixels})
    return len(images) / (time.perf_counter() - started_s)


def _rate(model: onnxruntime.InferenceSession, pixels: Pixels, *, seconds: float) -> float:
    model.run(["embedding"], {"image": pixels})
    count, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < seconds:
        model.run(["embedding"], {"image": pixels})
        count += len(pixels)
    return count / (time.perf_counter() - started_s)


def noise(size: tuple[int, int], count: int) -> Pixels:
    """Pixels (count, H, W, 3) that are the same at every run; `size` is (width, height)."""
    width_px, height_px = size
    return np.random.default_rng(7).integers(0, 256, (count, height_px, width_px, 3), dtype=np.uint8)


def _pixels(path: Path, preprocessing: Preprocessing) -> Pixels:
    data = path.read_bytes()
    return resize(decode(data, enough_px=enough_px(probe(data), [None], preprocessing)).pixels, preprocessing)


def _batches(stream: Iterator[Pixels], size: int) -> Iterator[Pixels]:
    batch: list[Pixels] = []
    for pixels in stream:
        batch.append(pixels)
        if len(batch) == size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def main() -> None:
    """Reads the command line, measures, and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=Path, help="a file with one path a line")
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle)
    model = open_model(bundle, threads=arguments.threads)
    preprocessing = bundle.image_preprocessing
    batch = best_batch(model, preprocessing.size)
    if arguments.images is None:
        cpu_s = time.process_time()
        per_s = _rate(model, noise(preprocessing.size, batch), seconds=arguments.seconds)
        cost = {"cpu_ms": 1000 * (time.process_time() - cpu_s) / (per_s * arguments.seconds)}
    else:
        images = [Path(line) for line in arguments.images.read_text().splitlines()]
        per_s, cost = with_decoding(model, preprocessing, images, batch), {}
    print(json.dumps({"per_s": per_s, "batch": batch, **cost}))


if __name__ == "__main__":
    main()
