"""The encode route: images, sketches and words in, embeddings out, by one encoder."""

from typing import Any

from fastapi import APIRouter, Request

from domain.limits import MAX_INPUTS, MAX_RESULTS
from domain.modality import Modality
from fovea.encoder.v1 import encoder_pb2
from gateway.backends import CallOf
from gateway.bodies.forms import MULTIPART_TYPE, URLENCODED_TYPE, Form, read_form
from gateway.bodies.json_body import JSON_TYPE, media_type, off_loop, parse_json, unsupported
from gateway.bodies.messages import read_json
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body, schema_of
from gateway.problems import problem_of
from rpc.clients import Embedded, Encoded, Input
from rpc.errors import InvalidArgument, ServiceError
from rpc.messages import box_of

router = APIRouter()

_FILES: tuple[Modality, ...] = ("image", "sketch")
_BODY = {
    MULTIPART_TYPE: {
        "schema": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "Words."},
                "image": {"type": "string", "format": "binary", "description": "An image; may be repeated."},
                "sketch": {"type": "string", "format": "binary", "description": "A drawing; may be repeated."},
            },
        }
    },
    JSON_TYPE: {
        "schema": schema_of(encoder_pb2.EncodeRequest.DESCRIPTOR),
        "example": {"inputs": [{"image": "<base64>"}, {"image": "<base64>", "region": {"x_max": 0.5, "y_max": 1}}]},
    },
}
_RESULT = {
    "type": "object",
    "required": ["input_index"],
    "properties": {
        "input_index": {"type": "integer", "description": "The position of its input, from 0."},
        "embedding": {"type": "array", "items": {"type": "number"}, "description": "Of unit length."},
        "error": {"$ref": "#/components/schemas/Problem"},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["encoder", "space", "dimension", "results"],
    "properties": {
        "encoder": {"type": "string"},
        "space": {"type": "string", "description": "Embeddings of different spaces cannot be compared."},
        "dimension": {"type": "integer"},
        "results": {"type": "array", "items": _RESULT, "description": "In the order of the inputs and their regions."},
    },
}


@router.post(
    "/encoders/{name}/encode",
    tags=["encoders"],
    openapi_extra=request_body(_BODY),
    responses={
        200: json_response(
            _ANSWER, "A result for each input, or for each of its regions; one that failed has an error."
        ),
        **problem_responses(*BODY_STATUSES, 404, 412),
    },
)
async def encode(name: str, request: Request, call: CallOf) -> dict[str, Any]:
    """Embed up to 64 images, sketches and texts with one encoder."""
    inputs = await _read_inputs(request, name)
    entry = await call.backends.directory.encoder(name)
    encoded = await entry.client.encode(inputs, encoder=entry.info.name, deadline=call.deadline, metadata=call.metadata)
    return {
        "encoder": entry.info.name,
        "space": encoded.space,
        "dimension": entry.info.dimension,
        "results": await off_loop(lambda: _results(inputs, encoded), len(encoded.outcomes) * entry.info.dimension * 32),
    }


async def _read_inputs(request: Request, encoder: str) -> list[Input]:
    kind = media_type(request)
    if kind == JSON_TYPE:
        body = await request.body()
        inputs = await off_loop(lambda: _inputs_of_json(body, encoder), len(body))
    elif kind in (MULTIPART_TYPE, URLENCODED_TYPE):
        inputs = _inputs_of_form(await read_form(request, max_files=MAX_INPUTS))
    else:
        raise unsupported(f"send the inputs as {MULTIPART_TYPE} or {JSON_TYPE}")
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidArgument(f"inputs: send 1 to {MAX_INPUTS}, not {len(inputs):,}")
    if (count := sum(item.result_count for item in inputs)) > MAX_RESULTS:
        raise InvalidArgument(f"inputs: ask for at most {MAX_RESULTS} results, not {count:,}")
    return inputs


def _inputs_of_json(body: bytes, encoder: str) -> list[Input]:
    fields = parse_json(body)
    if not isinstance(fields, dict):
        raise InvalidArgument("the body must be a JSON object with inputs")
    message = read_json(fields, encoder_pb2.EncodeRequest())
    if message.encoder not in ("", encoder):
        raise InvalidArgument(f"encoder: the address names {encoder!r}, the body {message.encoder!r}")
    return [_input(position, item) for position, item in enumerate(message.inputs)]


def _input(position: int, message: encoder_pb2.Input) -> Input:
    kind = message.WhichOneof("content")
    if kind is None:
        raise InvalidArgument(f"inputs[{position}]: has neither an image nor a sketch nor a text")
    if message.HasField("region") and message.regions:
        raise InvalidArgument(f"inputs[{position}]: give either region or regions, not both")
    boxes = [message.region] if message.HasField("region") else message.regions
    return Input(getattr(message, kind), kind, tuple(map(box_of, boxes)))


def _inputs_of_form(form: Form) -> list[Input]:
    if unknown := next((field for field in form.fields if field != "text"), None):
        raise InvalidArgument(f"{unknown}: a form of inputs has text, image and sketch; the last two are files")
    inputs = [Input(form.fields["text"], "text")] if "text" in form.fields else []
    for file in form.files:
        modality = next((name for name in _FILES if name == file.field), None)
        if modality is None:
            raise InvalidArgument(f"{file.field}: a file is an image or a sketch")
        inputs.append(Input(file.data, modality))
    return inputs


def _results(inputs: list[Input], encoded: Encoded) -> list[dict[str, Any]]:
    positions = [position for position, item in enumerate(inputs) for _ in range(item.result_count)]
    return [
        {"input_index": position} | _result(outcome)
        for position, outcome in zip(positions, encoded.outcomes, strict=True)
    ]


def _result(outcome: Embedded | ServiceError) -> dict[str, Any]:
    if isinstance(outcome, ServiceError):
        return {"error": problem_of(outcome), "warnings": []}
    return {"embedding": outcome.embedding.tolist(), "warnings": outcome.warnings}
