"""The upload route: one or many pictures in a form, a result for each."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from google.protobuf.struct_pb2 import Struct
from starlette.datastructures import FormData, UploadFile

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.collections import CollectionName
from gateway.ingest_stream import ingest
from gateway.messages import schema_of, to_json
from gateway.problems import problem_of, problem_response
from rpc.errors import Internal, InvalidArgument, from_status
from rpc.metadata import struct_of_json

router = APIRouter(prefix="/collections/{name}", tags=["images"])

_MAX_FILES = 1000
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
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM_SCHEMA}}}},
    responses={
        200: {
            "description": "A result for each, in the form's order.",
            "content": {"application/json": {"schema": _RESULTS_SCHEMA}},
        }
    },
)
async def upload_images(name: CollectionName, request: Request, backends: BackendsOf, call: CallOf) -> JSONResponse:
    """Add pictures. A problem answers only when none of them was taken; it lists the results too."""
    async with request.form(max_files=_MAX_FILES) as form:
        uploads = await _read_uploads(form)
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


async def _read_uploads(form: FormData) -> list[_Upload]:
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    files = [file for file in files if file.filename or file.size]
    if not files:
        raise InvalidArgument("images: send at least one picture as a file of a multipart form")
    metadata = _read_metadata(form.get("metadata"), len(files))
    return [await _read_upload(*pair) for pair in zip(files, metadata, strict=True)]


async def _read_upload(file: UploadFile, metadata: Struct) -> _Upload:
    data = await file.read()
    digest = await asyncio.to_thread(hashlib.sha256, data)
    # The uri that the ingest service would give it; named here, so that a failure can be told from another's.
    item = ingest_pb2.Item(uri=f"sha256:{digest.hexdigest()}", image=data, metadata=metadata)
    return _Upload(file.filename or "", item)


def _read_metadata(text: str | UploadFile | None, count: int) -> Sequence[Struct]:
    if not text:
        return [Struct()] * count
    if isinstance(text, UploadFile):
        raise InvalidArgument("metadata: send JSON text, not a file")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"metadata: this is no JSON: {error}") from error
    objects = metadata if isinstance(metadata, list) else [metadata] * count
    if len(objects) != count:
        raise InvalidArgument(f"metadata: the list has {len(objects)} objects for {count} pictures")
    return [struct_of_json(each, name=_place(metadata, index)) for index, each in enumerate(objects)]


def _place(metadata: object, index: int) -> str:
    return f"metadata[{index}]" if isinstance(metadata, list) else "metadata"
