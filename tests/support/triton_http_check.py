"""What Triton's Python client does over HTTP; run in an environment of its own: `triton_http_check.py HOST:PORT`."""

import json
import sys

import numpy as np
import tritonclient.http as triton


def check(address: str) -> dict[str, object]:
    """Use every call that the client has for inference and metadata."""
    client = triton.InferenceServerClient(address)
    words = _tensor("text", np.asarray([b"red", b"blue"], dtype=object), "BYTES")
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready() and client.is_model_ready("tiny", "1"),
        "unknown": client.is_model_ready("nowhere") or client.is_model_ready("tiny", "2"),
        "server": client.get_server_metadata()["name"],
        "inputs": [tensor["name"] for tensor in client.get_model_metadata("tiny")["inputs"]],
        "batch": client.get_model_config("tiny")["max_batch_size"],
        "models": {"tiny", "tiny_text"} <= {model["name"] for model in client.get_model_repository_index()},
        "pixels": _norms(client, "tiny", _tensor("image", np.full((2, 16, 16, 3), 9, np.uint8), "UINT8"), binary=True),
        "json": _norms(client, "tiny_text", words, binary=False),
        "later": list(client.async_infer("tiny_text", [words]).get_result().as_numpy("embedding").shape),
        "counted": client.get_inference_statistics("tiny_text")["model_stats"][0]["inference_count"] >= len("ab"),
        "refused": _is_refused(client, words),
    }


def _tensor(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def _norms(client: triton.InferenceServerClient, model: str, tensor: triton.InferInput, *, binary: bool) -> list[float]:
    outputs = [triton.InferRequestedOutput("embedding", binary_data=binary)]
    embeddings = client.infer(model, [tensor], outputs=outputs, request_id="1", priority=2).as_numpy("embedding")
    return [round(float(norm), 3) for norm in np.linalg.norm(embeddings, axis=1)]


def _is_refused(client: triton.InferenceServerClient, words: triton.InferInput) -> bool:
    try:
        client.infer("nowhere", [words])
    except triton.InferenceServerException as error:
        return "'nowhere' is not served" in error.message()
    return False


if __name__ == "__main__":
    sys.stdout.write(json.dumps(check(sys.argv[1])) + "\n")
