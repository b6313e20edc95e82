"""The upload route: one or many pictures in a form, a result for each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from google.protobuf.struct_pb2 import Struct

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.bodies import off_loop, parse_json, read_form
from gateway.collections import CollectionName
from gateway.forms import MULTIPART_TYPE, Form, FormFile
from gateway.ingest_stream import ingest
from gateway.messages import schema_of, to_json
from gateway.problems import BODY_STATUSES, problem_of, problem_response, problems
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
            "description": "The pictures; a file under any field name is taken.",
        },
        "metadata": {
            "type": "string",
            "description": "JSON: an object for every picture, or a list with an object for each.",
        },
    },
}
_RESULTS_SCHEMA = {
    "type": "object",
    "properties": {"results": {"type": "array", "items": schema_of(ingest_pb2.IngestResponse.DESCRIPTOR)}},
}


@dataclass(frozen=True, slots=True)
class _Upload:
    """One picture of the form."""

    filename: str
    item: ingest_pb2.Item


@router.post(
    "/images",
    openapi_extra={"requestBody": {"required": True, "content": {MULTIPART_TYPE: {"schema": _FORM_SCHEMA}}}},
    responses={
        200: {
            "description": "A result for each, in the form's order.",
            "content": {"application/json": {"schema": _RESULTS_SCHEMA}},
        },
        **problems(*BODY_STATUSES, 404, 409, 412),
    },
)
async def upload_images(name: CollectionName, request: Request, backends: BackendsOf, call: CallOf) -> JSONResponse:
    """Add pictures. A problem answers only when none of them was taken; it lists the results too."""
    form = await read_form(request, max_files=_MAX_FILES)
    uploads = await off_loop(lambda: _uploads_of(form), sum(len(file.data) for file in form.files))
    # The same picture twice is one item: two at once would dispute the same record.
    items = {upload.item.uri: upload.item for upload in uploads}
    responses = {response.uri: response async for response in ingest(backends, name, items.values(), call)}
    if missing := items.keys() - responses.keys():
        raise Internal(f"{len(missing)} of {len(items)} pictures got no result; send them again")
    results = [_result_json(upload.filename, responses[upload.item.uri]) for upload in uploads]
    return _answer(results)


def _answer(results: list[dict[str, Any]]) -> JSONResponse:
    problems = [result["error"] for result in results if "error" in result]
    if len(problems) == len(results):
        return problem_response(problems[0], results=results)
    return JSONResponse({"results": results})


def _result_json(filename: str, response: ingest_pb2.IngestResponse) -> dict[str, Any]:
    result = to_json(response) | {"filename": filename}
    if response.HasField("error"):
        result["error"] = problem_of(from_status(response.error))
    return result


def _uploads_of(form: Form) -> list[_Upload]:
    if not form.files:
        raise InvalidArgument("images: send at least one picture as a file of a multipart form")
    metadata = _read_metadata(form.fields.get("metadata"), len(form.files))
    return [_upload_of(*pair) for pair in zip(form.files, metadata, strict=True)]


def _upload_of(file: FormFile, metadata: Struct | None) -> _Upload:
    digest = hashlib.sha256(file.data)
    # The uri that the ingest service would give it; named here, so that a failure can be told from another's.
    item = ingest_pb2.Item(uri=f"sha256:{digest.hexdigest()}", image=file.data, metadata=metadata)
    return _Upload(file.filename, item)


def _read_metadata(text: str | None, count: int) -> Sequence[Struct | None]:
    """The metadata of each picture; None, not an empty one, where the form says nothing about it."""
    if text is None:
        return [None] * count
    metadata = parse_json(text, "metadata", max_values=_MAX_METADATA_VALUES)
    objects = metadata if isinstance(metadata, list) else [metadata] * count
    if len(objects) != count:
        raise InvalidArgument(f"metadata: the list has {len(objects)} objects for {count} pictures")
    return [struct_of_json(each, name=_place(metadata, index)) for index, each in enumerate(objects)]


def _place(metadata: object, index: int) -> str:
    return f"metadata[{index}]" if isinstance(metadata, list) else "metadata"
