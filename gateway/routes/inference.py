"""The Open Inference Protocol over HTTP: the models of all encoder processes, asked over gRPC."""

from collections.abc import Callable
from importlib.metadata import version as release
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from gateway.backends import BackendCall, CallOf
from gateway.bodies.json_body import JSON_TYPE, off_loop, unsupported
from gateway.bodies.messages import to_json
from gateway.bodies.tensors import BINARY_TYPE, HEADER_LENGTH, read_inference, write_inference
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body, schema_of
from gateway.problems import INFERENCE
from rpc.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from fovea.oip.v2.open_inference_pb2_grpc import GRPCInferenceServiceAsyncStub

router = APIRouter(prefix=INFERENCE, tags=["inference"])

EXTENSIONS = ("model_configuration", "statistics", "schedule_policy", "parameters", "binary_tensor_data")

_VERSION_PARAMETER = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string", "enum": ["BYTES", "UINT8", "FP32"]},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
}
_INFER_BODY = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}
_INFER_ANSWER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}


class ModelCalls:
    """The calls to one model, whichever process serves it."""

    def __init__(self, name: str, version: str, stub: "GRPCInferenceServiceAsyncStub", call: BackendCall) -> None:
        self.name = name
        self.version = version
        self._stub = stub
        self._call = call

    async def send(self, method: str, request: Any) -> Any:
        """The answer to a request; raises the ServiceError that the encoder answered."""
        return await self._call.unary(self.name, getattr(self._stub, method), request)


async def _model(name: str, request: Request, call: CallOf) -> ModelCalls:
    directory = call.backends.directory
    try:
        channel = (await directory.encoder(name)).client.channel
    except NotFound as error:
        detectors = {entry.info.name: entry.client.channel for entry in await directory.detectors()}
        if name not in detectors:
            raise NotFound(f"model: {name!r} is not served") from error
        channel = detectors[name]
    stub = oip_grpc.GRPCInferenceServiceStub(channel)
    return ModelCalls(name, request.path_params.get("version", ""), stub, call)


Model = Annotated[ModelCalls, Depends(_model)]


@router.get("", responses={200: json_response(schema_of(oip.ServerMetadataResponse.DESCRIPTOR), "Name and version.")})
async def get_inference_server() -> dict[str, Any]:
    """Name the server and the extensions that it serves."""
    return {"name": "fovea", "version": release("fovea"), "extensions": EXTENSIONS}


@router.get("/health/live")
async def get_inference_liveness() -> dict[str, bool]:
    """Answer as long as the gateway does."""
    return {"live": True}


@router.get("/health/ready")
async def get_inference_readiness(call: CallOf) -> dict[str, bool]:
    """Answer 200 where models are served, 503 where none is known."""
    if not await call.backends.directory.encoders() and not await call.backends.directory.detectors():
        raise Unavailable("no model is served yet")
    return {"ready": True}


@router.post("/repository/index")
async def list_models(call: CallOf) -> list[dict[str, str]]:
    """List the models of all encoder processes."""
    directory = call.backends.directory
    versions = {entry.info.name: entry.info.version for entry in await directory.encoders()}
    versions |= {entry.info.name: entry.info.version for entry in await directory.detectors()}
    return [
        {"name": name, "version": version, "state": "READY", "reason": ""} for name, version in sorted(versions.items())
    ]


async def get_model(model: Model) -> dict[str, Any]:
    """Describe the inputs and outputs of a model."""
    return to_json(await model.send("ModelMetadata", oip.ModelMetadataRequest(name=model.name, version=model.version)))


async def get_model_readiness(model: Model) -> dict[str, Any]:
    """Answer 200 where a model is ready, 404 where it is unknown, 503 where it cannot run now."""
    await model.send("ModelMetadata", oip.ModelMetadataRequest(name=model.name, version=model.version))
    answer = await model.send("ModelReady", oip.ModelReadyRequest(name=model.name, version=model.version))
    if not answer.ready:
        raise Unavailable(f"model {model.name!r} is not ready")
    return {"name": model.name, "ready": True}


async def get_model_config(model: Model) -> dict[str, Any]:
    """Describe a model as Triton's configuration does."""
    answer = await model.send("ModelConfig", oip.ModelConfigRequest(name=model.name, version=model.version))
    return to_json(answer.config)


async def get_model_statistics(model: Model) -> dict[str, Any]:
    """Count the inferences of a model over this protocol, in one of its processes, since it started."""
    return to_json(
        await model.send("ModelStatistics", oip.ModelStatisticsRequest(name=model.name, version=model.version))
    )


async def infer(request: Request, model: Model) -> Response:
    """Run a model on one tensor, in JSON or in binary behind the JSON."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise unsupported("send the body without a content encoding")
    body, length = await request.body(), request.headers.get(HEADER_LENGTH)
    asked = await off_loop(lambda: read_inference(body, length, model.name, model.version), len(body))
    response = await model.send("ModelInfer", asked.request)
    answer, json_bytes = await off_loop(lambda: write_inference(response, asked), response.ByteSize())
    if json_bytes is None:
        return Response(answer, media_type=JSON_TYPE)
    return Response(answer, media_type=BINARY_TYPE, headers={HEADER_LENGTH: str(json_bytes)})


def _add(path: str, method: str, endpoint: Callable[..., Any], **options: Any) -> None:
    """Adds a route of a model, for the version that is served and for one that is named."""
    extra = options.pop("openapi_extra", {})
    responses = {**problem_responses(404), **options.pop("responses", {})}
    for middle, name, parameters in (("", "", []), ("/versions/{version}", "_version", [_VERSION_PARAMETER])):
        router.add_api_route(
            f"/models/{{name}}{middle}{path}",
            endpoint,
            methods=[method],
            name=f"{endpoint.__name__}{name}",
            openapi_extra={**extra, "parameters": parameters},
            responses=responses,
            **options,
        )


_add("", "GET", get_model)
_add("/ready", "GET", get_model_readiness)
_add("/config", "GET", get_model_config)
_add("/stats", "GET", get_model_statistics)
_add(
    "/infer",
    "POST",
    infer,
    openapi_extra=request_body({JSON_TYPE: {"schema": _INFER_BODY}, BINARY_TYPE: {"schema": {"type": "string"}}}),
    responses={
        200: {
            "description": "The outputs.",
            "content": {JSON_TYPE: {"schema": _INFER_ANSWER}, BINARY_TYPE: {"schema": {"type": "string"}}},
        },
        **problem_responses(*BODY_STATUSES, 404),
    },
)
