"""`/v1/embeddings` in the shape of OpenAI's API, for words, and for images as data URIs."""

import base64
import binascii
from collections import defaultdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from domain.modality import Modality
from gateway.backends import BackendCall, CallOf
from gateway.bodies.json_body import JSON_TYPE, json_body, off_loop
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body
from rpc.clients import Embedded, Input, calls_of
from rpc.directory import EncoderEntry
from rpc.errors import InvalidArgument, ServiceError

router = APIRouter()

MAX_TEXTS_AND_IMAGES = 2048


class EmbeddingsBody(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="An encoder; inputs that it does not read go to another one of its space.")
    input: str | list[str] = Field(
        description="Words, or an image as `data:image/…;base64,…`, or a list of up to 2,048 of them."
    )
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: float32, little-endian.")
    dimensions: int | None = Field(None, description="The embeddings' own number of dimensions; no other one is made.")
    user: str | None = Field(None, description="Not used.")


_EMBEDDING = {
    "type": "object",
    "required": ["object", "index", "embedding"],
    "properties": {
        "object": {"type": "string", "enum": ["embedding"]},
        "index": {"type": "integer"},
        "embedding": {"oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"type": "string", "enum": ["list"]},
        "data": {"type": "array", "items": _EMBEDDING},
        "model": {"type": "string"},
        "usage": {"type": "object", "description": "Tokens are not counted: both numbers are 0."},
    },
}


@router.post(
    "/v1/embeddings",
    tags=["encoders"],
    openapi_extra=request_body({JSON_TYPE: {"schema": EmbeddingsBody.model_json_schema()}}),
    responses={
        200: json_response(_ANSWER, "An embedding of unit length for each input, in order."),
        **problem_responses(*BODY_STATUSES, 404, 412),
    },
)
async def create_embeddings(
    body: Annotated[EmbeddingsBody, Depends(json_body(EmbeddingsBody))], call: CallOf
) -> dict[str, Any]:
    """Embed words and images, as clients of OpenAI's API ask for it; one bad input fails the whole request."""
    given = [body.input] if isinstance(body.input, str) else body.input
    if not 1 <= len(given) <= MAX_TEXTS_AND_IMAGES:
        raise InvalidArgument(f"input: send 1 to {MAX_TEXTS_AND_IMAGES:,}, not {len(given):,}")
    entry = await call.backends.directory.encoder(body.model)
    if body.dimensions not in (None, entry.info.dimension):
        raise InvalidArgument(f"dimensions: {body.model} makes {entry.info.dimension}; leave the field out")
    size = sum(map(len, given))
    inputs = await off_loop(lambda: [_input(position, each) for position, each in enumerate(given)], size)
    embedded = await _embedded(inputs, entry, call)
    data = await off_loop(
        lambda: [_embedding(index, each, body.encoding_format) for index, each in enumerate(embedded)],
        len(embedded) * entry.info.dimension * 32,
    )
    return {"object": "list", "data": data, "model": body.model, "usage": {"prompt_tokens": 0, "total_tokens": 0}}


async def _embedded(inputs: list[Input], entry: EncoderEntry, call: BackendCall) -> list[Embedded]:
    """All embeddings in order; each input goes to an encoder of the same space that reads it."""
    positions: defaultdict[Modality, list[int]] = defaultdict(list)
    for position, item in enumerate(inputs):
        positions[item.modality].append(position)
    found: dict[int, Embedded] = {}
    for modality, of_modality in positions.items():
        reader = await _reader(entry, modality, call)
        known_as = modality if modality in reader.info.modalities else "sketch"
        waiting = iter(of_modality)
        for some in calls_of([Input(inputs[position].content, known_as) for position in of_modality]):
            encoded = await reader.client.encode(
                some, encoder=reader.info.name, deadline=call.deadline, metadata=call.metadata
            )
            for outcome in encoded.outcomes_in(entry.info.space, encoder=reader.info.name):
                position = next(waiting)
                if isinstance(outcome, ServiceError):
                    raise type(outcome)(f"input[{position}]: {outcome.message}", reason=outcome.reason) from outcome
                found[position] = outcome
    return [found[position] for position in range(len(inputs))]


async def _reader(entry: EncoderEntry, modality: Modality, call: BackendCall) -> EncoderEntry:
    if modality in entry.info.modalities:
        return entry
    other = await call.backends.directory.for_space(entry.info.space, modality)
    if other is not None:
        return other
    if modality == "image" and "sketch" in entry.info.modalities:
        return entry
    raise InvalidArgument(f"input: neither {entry.info.name} nor another served encoder of its space reads {modality}")


def _input(position: int, given: str) -> Input:
    if not given.startswith("data:"):
        return Input(given, "text")
    head, _, content = given.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise InvalidArgument(f"input[{position}]: a data URI begins with data:image/…;base64,")
    try:
        return Input(base64.b64decode(content, validate=True), "image")
    except binascii.Error as error:
        raise InvalidArgument(f"input[{position}]: the data URI is not base64") from error


def _embedding(index: int, embedded: Embedded, encoding_format: str) -> dict[str, Any]:
    values = embedded.embedding.astype("<f4", copy=False)
    shown = values.tolist() if encoding_format == "float" else base64.b64encode(values.tobytes()).decode()
    return {"object": "embedding", "index": index, "embedding": shown}
