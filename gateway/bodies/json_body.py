"""JSON bodies from untrusted clients: limits first, then parsing, off the event loop where it takes long."""

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

from rpc.errors import InvalidArgument

JSON_TYPE = "application/json"

_MAX_VALUES = 10_000
# One level of JSON is three levels of a Struct message, and protobuf reads at most a hundred.
_MAX_DEPTH = 24
# Below this size starting a thread costs more than the parsing.
_INLINE_BYTES = 64 << 10

_Model = TypeVar("_Model", bound=BaseModel)
_T = TypeVar("_T")


async def off_loop(work: Callable[[], _T], size: int) -> _T:
    """Does work on `size` bytes; on a thread where it would block the event loop."""
    return work() if size <= _INLINE_BYTES else await asyncio.to_thread(work)


def media_type(request: Request) -> str:
    """The content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(message: str) -> HTTPException:
    """The error for a content type that a route does not read."""
    return HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)


def json_body(model: type[_Model]) -> Callable[[Request], Awaitable[_Model]]:
    """A dependency that reads the body as JSON into a model.

    FastAPI's own body parameters would call `json.loads` on the event loop and without these limits.
    """

    async def read(request: Request) -> _Model:
        if media_type(request) != JSON_TYPE:
            raise unsupported("send the body as application/json")
        body = await request.body()
        return validated(model, await off_loop(lambda: parse_json(body), len(body)))

    return read


def validated(model: type[_Model], values: Any) -> _Model:
    """The values as a model; RequestValidationError names each field that does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error


def parse_json(text: bytes | str, name: str = "the body", *, max_values: int = _MAX_VALUES) -> Any:
    """Parses UTF-8 without lone surrogates and with finite numbers, within the limits; raises InvalidArgument.

    Values are counted by their punctuation before the parsing: a body of tiny values takes a thousand times as long to
    parse as one string of the same size.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        if sum(map(text.count, "{[,")) > max_values:
            raise InvalidArgument(f"{name}: this JSON holds more than {max_values:,} values")
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
        if _depth(value) > _MAX_DEPTH:
            raise InvalidArgument(f"{name}: this JSON nests deeper than {_MAX_DEPTH} levels")
        # Only an escape can put a surrogate into text that was decoded from UTF-8; encoding finds a lone one.
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
