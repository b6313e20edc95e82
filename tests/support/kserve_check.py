"""What KServe's clients do; run in an environment of its own: `kserve_check.py ENCODER_HOST:PORT GATEWAY_URL`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

Infer = Callable[[InferRequest], Awaitable[object]]


async def check(encoder: str, gateway: str) -> dict[str, object]:
    """Liveness, readiness, words and pixels with both clients."""
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    async with InferenceGRPCClient(encoder) as grpc:
        return {
            "grpc": {
                "live": await grpc.is_server_live(),
                "ready": await grpc.is_server_ready(),
                "model": await grpc.is_model_ready("tiny"),
                **await _inferred(grpc.infer),
            },
            "http": {
                "live": await rest.is_server_live(gateway),
                "ready": await rest.is_server_ready(gateway),
                "model": await rest.is_model_ready(gateway, "tiny"),
                **await _inferred(lambda request: rest.infer(gateway, request, model_name=request.model_name)),
            },
        }


async def _inferred(infer: Infer) -> dict[str, object]:
    words = _request("tiny_text", "text", np.asarray([b"red", b"blue"], dtype=object), "BYTES")
    pixels = _request("tiny", "image", np.full((1, 16, 16, 3), 9, np.uint8), "UINT8")
    try:
        await infer(_request("nowhere", "image", np.full((1, 16, 16, 3), 9, np.uint8), "UINT8"))
    except Exception as error:  # noqa: BLE001 - the two clients raise classes of two libraries
        is_refused = "nowhere" in str(error)
    else:
        is_refused = False
    return {"words": _shape(await infer(words)), "pixels": _shape(await infer(pixels)), "refused": is_refused}


def _request(model: str, name: str, values: np.ndarray, datatype: str) -> InferRequest:
    tensor = InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=True)
    return InferRequest(model_name=model, infer_inputs=[tensor])


def _shape(response: object) -> list[int]:
    return list(response.outputs[0].as_numpy().shape)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(check(sys.argv[1], sys.argv[2]))) + "\n")
