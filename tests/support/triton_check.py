"""What Triton's Python client does with an encoder; run in an environment of its own: `triton_check.py HOST:PORT`.

It knows nothing of Fovea: tritonclient registers the package `inference` as Fovea's stubs do, so they cannot share a
process. It prints one line of JSON.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

IMAGE_PX = 16


def check(address: str) -> dict[str, object]:
    """Ask for liveness, readiness and metadata, then infer with pixels and with words."""
    client = triton.InferenceServerClient(address)
    metadata = client.get_model_metadata("tiny")
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready() and client.is_model_ready("tiny"),
        "inputs": [tensor.name for tensor in metadata.inputs],
        "pixels": _norms(client, "tiny", _tensor("image", np.full((3, IMAGE_PX, IMAGE_PX, 3), 9, np.uint8), "UINT8")),
        "words": _norms(client, "tiny_text", _tensor("text", np.asarray([b"red", b"blue"], dtype=object), "BYTES")),
        "refused": _refused(client),
    }


def _tensor(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def _norms(client: triton.InferenceServerClient, model: str, tensor: triton.InferInput) -> list[float]:
    embeddings = client.infer(model, [tensor]).as_numpy("embedding")
    return [round(float(norm), 3) for norm in np.linalg.norm(embeddings, axis=1)]


def _refused(client: triton.InferenceServerClient) -> str:
    try:
        _norms(client, "nowhere", _tensor("image", np.asarray([b"x"], dtype=object), "BYTES"))
    except triton.InferenceServerException as error:
        return str(error.status())
    return "nothing"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(check(sys.argv[1])) + "\n")
