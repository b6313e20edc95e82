"""Spans of calls to the stores, named as OpenTelemetry names those of databases. They hold no keys and no values."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.trace import Span

from rpc.tracing import CLIENT, Attributes, span


def milvus_span(call: Callable[[], object], collection: str) -> AbstractContextManager[Span]:
    """One operation of Milvus, called as the function that `call` is a partial of, on a collection."""
    operation = getattr(call, "func", call).__name__
    names = {"db.system.name": "milvus", "db.operation.name": operation, "db.collection.name": collection}
    return span(f"{operation} {collection}".rstrip(), names, kind=CLIENT)


def redis_span(commands: Sequence[tuple[Any, ...]]) -> AbstractContextManager[Span]:
    """Commands to Redis in one round trip; a script is one too."""
    operation = "EVALSHA" if not isinstance(commands[0][0], str) else commands[0][0]
    if len(commands) > 1:
        operation = f"PIPELINE {operation}"
    names: Attributes = {
        "db.system.name": "redis",
        "db.operation.name": operation,
        "db.operation.batch.size": len(commands),
    }
    return span(operation, names, kind=CLIENT)
