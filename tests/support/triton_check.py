"""What Triton's Python client does with an encoder; run in an environment of its own: `triton_check.py HOST:PORT`.

It knows nothing of Fovea: tritonclient registers the package `inference` as Fovea's stubs do, so they cannot share a
process. It prints one line of JSON.
"""

import json
import queue
import struct
import sys

import numpy as np
import tritonclient.grpc as triton

IMAGE_PX = 16
IN_WINDOW = 8


def check(address: str) -> dict[str, object]:
    """Use every call that the client has for inference and metadata."""
    client = triton.InferenceServerClient(address)
    metadata = client.get_model_metadata("tiny")
    words = _tensor("text", np.asarray([[b"red"], [b"blue"]], dtype=object), "BYTES")
    pixels = np.full((3, IMAGE_PX, IMAGE_PX, 3), 9)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready() and client.is_model_ready("tiny", "1"),
        "unknown": client.is_model_ready("nowhere") or client.is_model_ready("tiny", "2"),
        "server": client.get_server_metadata().name,
        "inputs": [tensor.name for tensor in metadata.inputs],
        "batch": client.get_model_config("tiny").config.max_batch_size,
        "dims": list(client.get_model_config("tiny").config.output[0].dims),
        "models": [model.name for model in client.get_model_repository_index().models],
        "pixels": _norms(client, "tiny", _tensor("image", pixels.astype(np.uint8), "UINT8")),
        "floats": _norms(client, "tiny", _tensor("image", pixels.astype(np.float32), "FP32")),
        "words": _norms(client, "tiny_text", words, priority=2, timeout=10_000_000),
        "later": _later(client, words),
        "streamed": _streamed(client, words),
        "analyzed": _analyzed(client),
        "objects": _objects(client),
        "counted": _counted(client, words),
        "refused": _refused(client),
    }


def _tensor(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def _norms(
    client: triton.InferenceServerClient, model: str, tensor: triton.InferInput, **options: object
) -> list[float]:
    outputs = [triton.InferRequestedOutput("embedding")]
    embeddings = client.infer(model, [tensor], outputs=outputs, request_id="1", **options).as_numpy("embedding")
    return [round(float(norm), 3) for norm in np.linalg.norm(embeddings, axis=1)]


def _later(client: triton.InferenceServerClient, words: triton.InferInput) -> list[int]:
    answers: queue.Queue[triton.InferResult] = queue.Queue()
    client.async_infer("tiny_text", [words], lambda result, error: answers.put(error or result))
    answer = answers.get(timeout=20)
    return list(answer.as_numpy("embedding").shape)


def _streamed(client: triton.InferenceServerClient, words: triton.InferInput) -> list[str]:
    answers: queue.Queue[triton.InferResult] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result))
    for model in ("tiny_text", "nowhere", "tiny_text"):
        client.async_stream_infer(model, [words], enable_empty_final_response=True)
    seen = [answers.get(timeout=20) for _ in range(3)]
    client.stop_stream()
    return [
        "failed"
        if isinstance(answer, triton.InferenceServerException)
        else str(answer.get_response().parameters["triton_final_response"].bool_param)
        for answer in seen
    ]


def _analyzed(client: triton.InferenceServerClient) -> list[int]:
    """What perf_analyzer sends for a model of words: what the server and the model are, then windows of load.

    Its shapes come from the configuration, its rates from the statistics around each window, and with `--streaming` the
    same requests go through one stream.
    """
    assert "statistics" in client.get_server_metadata().extensions
    metadata = client.get_model_metadata("tiny_text", "")
    config = client.get_model_config("tiny_text", "").config
    assert config.max_batch_size > 1
    assert config.WhichOneof("scheduling_choice") in (None, "dynamic_batching")
    [given] = config.input
    assert (metadata.inputs[0].name, metadata.inputs[0].datatype) == (given.name, "BYTES")
    batch, outputs = 4, [triton.InferRequestedOutput(output.name) for output in metadata.outputs]
    shape = [batch, *given.dims]
    tensor = triton.InferInput(given.name, shape, "BYTES")
    tensor.set_data_from_numpy(np.full(shape, b"red", dtype=object))
    counted = []
    for is_streamed in (False, False, True):
        before = client.get_inference_statistics("tiny_text", "").model_stats[0]
        shapes = _window(client, tensor, outputs, is_streamed=is_streamed)
        after = client.get_inference_statistics("tiny_text", "").model_stats[0]
        assert shapes == {(batch, *config.output[0].dims)}
        assert after.inference_stats.queue.count - before.inference_stats.queue.count == IN_WINDOW
        assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
        assert after.last_inference >= before.last_inference
        counted.append(after.inference_count - before.inference_count)
    return counted


def _window(
    client: triton.InferenceServerClient,
    tensor: triton.InferInput,
    outputs: list[triton.InferRequestedOutput],
    *,
    is_streamed: bool,
) -> set[tuple[int, ...]]:
    answers: queue.Queue[triton.InferResult] = queue.Queue()

    def answered(result: triton.InferResult, error: triton.InferenceServerException | None) -> None:
        answers.put(error or result)

    if is_streamed:
        client.start_stream(answered)
    for number in range(IN_WINDOW):
        options = {"outputs": outputs, "request_id": str(number)}
        if is_streamed:
            client.async_stream_infer("tiny_text", [tensor], **options)
        else:
            client.async_infer("tiny_text", [tensor], answered, client_timeout=20, **options)
    shapes = {_shape(answers.get(timeout=20), outputs[0].name()) for _ in range(IN_WINDOW)}
    if is_streamed:
        client.stop_stream()
    return shapes


def _shape(answer: triton.InferResult | triton.InferenceServerException, output: str) -> tuple[int, ...]:
    if isinstance(answer, triton.InferenceServerException):
        raise answer
    return tuple(answer.as_numpy(output).shape)


def _counted(client: triton.InferenceServerClient, words: triton.InferInput) -> int:
    counts = []
    for _ in range(2):
        statistics = client.get_inference_statistics("tiny_text", as_json=True)
        counts.append(int(statistics["model_stats"][0]["inference_count"]))
        client.infer("tiny_text", [words])
    return counts[1] - counts[0]


def _objects(client: triton.InferenceServerClient) -> list[str]:
    pixels = np.full((64, 64, 3), 120, np.uint8)
    pixels[8:40, 8:40] = (30, 30, 230)  # blue, green, red
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + pixels.size, 0, 0, 54, 40, 64, 64, 1, 24, 0, 0, 0, 0, 0, 0)
    tensor = _tensor("image", np.asarray([bmp + pixels.tobytes()], dtype=object), "BYTES")
    found = client.infer("tiny_detector", [tensor])
    assert found.as_numpy("boxes").shape == (len(found.as_numpy("scores")), 4)
    return [label.decode() for label in found.as_numpy("labels")]


def _refused(client: triton.InferenceServerClient) -> str:
    try:
        _norms(client, "nowhere", _tensor("image", np.asarray([b"x"], dtype=object), "BYTES"))
    except triton.InferenceServerException as error:
        return str(error.status())
    return "nothing"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(check(sys.argv[1])) + "\n")
