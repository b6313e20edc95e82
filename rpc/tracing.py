"""Traces (OpenTelemetry): a span for each call on each hop, and for each stage in it.

There are none unless OTEL_EXPORTER_OTLP_ENDPOINT names a collector. Names and attributes follow OpenTelemetry's
semantic conventions for RPC, HTTP and databases.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any, TypeAlias

from opentelemetry import propagate, trace
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

Attributes: TypeAlias = Mapping[str, AttributeValue]
Pairs: TypeAlias = Iterable[tuple[str, str | bytes]]
"""Request metadata of gRPC, or headers of HTTP."""

SERVER, CLIENT = SpanKind.SERVER, SpanKind.CLIENT
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NO_SPAN = contextlib.nullcontext(INVALID_SPAN)

_tracer: trace.Tracer | None = None

logger = logging.getLogger(__name__)


def configure_tracing(service: str) -> None:
    """Send this process's spans to the collector that the environment names, as `service.name` fovea-<service>.

    All other settings are OpenTelemetry's own: OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_… and so on.
    """
    global _tracer  # noqa: PLW0603 - a process has one
    if not any(os.environ.get(name) for name in _ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "") == "true":
        return
    if find_spec("opentelemetry.exporter") is None:
        logger.critical(
            "%s is set, and what sends traces is missing; install Fovea with the extra `tracing`", _ENDPOINTS[1]
        )
        sys.exit(1)
    # Here, because they take 12 MiB that a process without traces need not have.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    os.environ.setdefault("OTEL_SERVICE_NAME", f"fovea-{service}")
    # A process that ends sends its last spans, and must not wait long for a collector that is away.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    provider = TracerProvider(resource=Resource.create())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # Not as the global one: libraries that trace by themselves would add spans of the same calls.
    _tracer = provider.get_tracer("fovea")


def call_span(caller: Pairs) -> AbstractContextManager[Span]:
    """The span of a call that this process answers, a child of the caller's span where `caller` names one (W3C)."""
    if _tracer is None:
        return _NO_SPAN
    carrier = {key: value for key, value in caller if isinstance(value, str)}
    return _tracer.start_as_current_span(
        "call", propagate.extract(carrier), kind=SERVER, record_exception=False, set_status_on_exception=False
    )


def span(
    name: str, attributes: Attributes | None = None, *, kind: SpanKind = SpanKind.INTERNAL
) -> AbstractContextManager[Span]:
    """The span of a part of the current call; outside of a call there is none."""
    if _tracer is None or not trace.get_current_span().get_span_context().is_valid:
        return _NO_SPAN
    return _part(_tracer, name, kind=kind, attributes=attributes)


def batch_span(name: str, calls: Iterable[SpanContext | None], attributes: Attributes) -> AbstractContextManager[Span]:
    """The span of work for several calls at once: it belongs to no trace of theirs, and is linked with each of them."""
    if _tracer is None:
        return _NO_SPAN
    traced = {context.span_id: context for context in calls if context is not None and context.trace_flags.sampled}
    if not traced:
        return _NO_SPAN
    links = [Link(context) for context in traced.values()]
    apart = trace.set_span_in_context(INVALID_SPAN)
    return _part(_tracer, name, context=apart, attributes=attributes, links=links)


@contextmanager
def _part(tracer: trace.Tracer, name: str, **described: Any) -> Iterator[Span]:
    # The text of an exception may hold keys, filters or paths: of a failure only its kind goes into the trace.
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **described
    ) as started:
        try:
            yield started
        except Exception as error:
            started.set_attribute("error.type", type(error).__qualname__)
            started.set_status(Status(StatusCode.ERROR))
            raise


def end_of(call: Span, name: str, attributes: Attributes, *, error: str = "") -> None:
    """Give the span of a call its name and attributes, which are known at its end; `error` is the kind of a failure."""
    if not call.is_recording():
        return
    call.update_name(name)
    call.set_attributes({**attributes, "error.type": error} if error else attributes)
    if error:
        call.set_status(Status(StatusCode.ERROR))


def current() -> SpanContext | None:
    """The context of the current span; None without one."""
    if _tracer is None:
        return None
    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


def current_trace_id() -> str:
    """The id of the current trace as 32 hexadecimal digits; empty without one."""
    context = current()
    return trace.format_trace_id(context.trace_id) if context else ""


def propagated() -> tuple[tuple[str, str], ...]:
    """The metadata that tells another process the current span (traceparent, tracestate); empty without one."""
    if _tracer is None:
        return ()
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple(carrier.items())
