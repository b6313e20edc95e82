"""Request bodies as JSON and as forms: checked at the edge, and parsed off the event loop where that takes long."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from gateway.forms import Form, parse_form
from rpc.errors import InvalidArgument

JSON_TYPE = "application/json"

_MAX_VALUES = 10_000
# A Struct takes three levels of a message for one of JSON, and protobuf reads a hundred.
_MAX_DEPTH = 24
# Below this size a thread costs more than the parsing.
_INLINE_BYTES = 64 << 10

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")


async def off_loop(work: Callable[[], _T], size: int) -> _T:
    """Runs work on a body of so many bytes, on a thread where the event loop would wait for it."""
    return work() if size <= _INLINE_BYTES else await asyncio.to_thread(work)


def media_type(request: Request) -> str:
    """The content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(message: str) -> HTTPException:
    """The answer to a content type that a route does not take."""
    return HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)


async def read_form(request: Request, *, max_files: int) -> Form:
    """The form in the body; InvalidArgument says what is wrong with it."""
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    return await off_loop(lambda: parse_form(body, content_type, max_files=max_files), len(body))


def json_body(model: type[_M]) -> Callable[[Request], Awaitable[_M]]:
    """A dependency that reads the body as JSON into a model."""

    async def read(request: Request) -> _M:
        if media_type(request) != JSON_TYPE:
            raise unsupported("send the body as application/json")
        body = await request.body()
        return validated(model, await off_loop(lambda: parse_json(body), len(body)))

    return read


def validated(model: type[_M], values: Any) -> _M:
    """The values as a model; RequestValidationError names each field that does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error


def parse_json(text: bytes | str, name: str = "the body", *, max_values: int = _MAX_VALUES) -> Any:
    """JSON from a stranger: UTF-8 without lone surrogates, finite numbers, not too many values or levels; else InvalidArgument.

    The values are counted by their punctuation before a single one is parsed: a few bytes each, they would take a
    thousand times as long as the same bytes of one string.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        if sum(map(text.count, "{[,")) > max_values:
            raise InvalidArgument(f"{name}: this JSON holds more than {max_values:,} values")
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
        if _depth(value) > _MAX_DEPTH:
            raise InvalidArgument(f"{name}: this JSON nests deeper than {_MAX_DEPTH} levels")
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise InvalidArgument(f"{name}: the text is not Unicode; send UTF-8 without lone surrogates") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{name}: this is not JSON: {error}") from error
    return value


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"{text[:20]} is not a finite number"
        raise ValueError(message)
    return number
