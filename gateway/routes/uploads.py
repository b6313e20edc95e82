"""The upload route: one or many images in a form, a result for each."""

import hashlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from google.protobuf.struct_pb2 import Struct

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import CallOf
from gateway.bodies.forms import MULTIPART_TYPE, Form, read_form
from gateway.bodies.json_body import off_loop, parse_json
from gateway.bodies.messages import to_json
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body, schema_of
from gateway.problems import problem_of, problem_response
from gateway.routes.collections import CollectionName
from rpc.errors import Internal, InvalidArgument, from_status
from rpc.metadata import struct_of_json

router = APIRouter(prefix="/collections/{name}", tags=["images"])

_MAX_FILES = 1000
_MAX_METADATA_VALUES = 100_000
_FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "images": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The images; a file under any field name is taken.",
        },
        "metadata": {
            "type": "string",
            "description": "JSON: an object for every image, or a list with an object for each.",
        },
    },
}
_RESULTS_SCHEMA = {
    "type": "object",
    "properties": {"results": {"type": "array", "items": schema_of(ingest_pb2.IngestResponse.DESCRIPTOR)}},
}


@router.post(
    "/images",
    openapi_extra=request_body({MULTIPART_TYPE: {"schema": _FORM_SCHEMA}}),
    responses={
        200: json_response(_RESULTS_SCHEMA, "A result for each, in the form's order."),
        **problem_responses(*BODY_STATUSES, 404, 409, 412),
    },
)
async def upload_images(name: CollectionName, request: Request, call: CallOf) -> JSONResponse:
    """Add images. A problem answers only when none of them was taken; it lists the results too."""
    form = await read_form(request, max_files=_MAX_FILES)
    items = await off_loop(lambda: _items_of(form), sum(len(file.data) for file in form.files))
    # The same image twice is sent once, because two writes of one record at the same time would abort each other.
    distinct = {item.uri: item for item in items}
    responses = {response.uri: response async for response in call.ingest(name, distinct.values())}
    if missing := distinct.keys() - responses.keys():
        raise Internal(f"{len(missing)} of {len(distinct)} images got no result; send them again")
    results = [_result(file.filename, responses[item.uri]) for file, item in zip(form.files, items, strict=True)]
    problems = [result["error"] for result in results if "error" in result]
    if len(problems) == len(results):
        return problem_response(problems[0], results=results)
    return JSONResponse({"results": results})


def _result(filename: str, response: ingest_pb2.IngestResponse) -> dict[str, Any]:
    result = to_json(response) | {"filename": filename}
    if response.HasField("error"):
        result["error"] = problem_of(from_status(response.error))
    return result


def _items_of(form: Form) -> list[ingest_pb2.Item]:
    """An item for each file, under the uri that the ingest service gives bytes without one."""
    if not form.files:
        raise InvalidArgument("images: send at least one image as a file of a multipart form")
    metadata = _read_metadata(form.fields.get("metadata"), len(form.files))
    return [
        ingest_pb2.Item(uri=f"sha256:{hashlib.sha256(file.data).hexdigest()}", image=file.data, metadata=each)
        for file, each in zip(form.files, metadata, strict=True)
    ]


def _read_metadata(text: str | None, count: int) -> Sequence[Struct | None]:
    """The metadata of each image; None, which keeps what is stored, where the form has no metadata."""
    if text is None:
        return [None] * count
    metadata = parse_json(text, "metadata", max_values=_MAX_METADATA_VALUES)
    if not isinstance(metadata, list):
        return [struct_of_json(metadata)] * count
    if len(metadata) != count:
        raise InvalidArgument(f"metadata: the list has {len(metadata)} objects for {count} images")
    return [struct_of_json(each, name=f"metadata[{position}]") for position, each in enumerate(metadata)]
