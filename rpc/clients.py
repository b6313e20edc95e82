"""Clients of the encoder and the detector: plain values in, arrays and dataclasses out."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
from opentelemetry.trace import Span

from domain.box import Box
from domain.calibration import Calibration
from domain.detection import Detection
from domain.limits import MAX_CALL_BYTES, MAX_INPUTS, MAX_RESULTS
from domain.modality import Modality
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition, Internal, ServiceError, from_status, service_errors
from rpc.messages import box_message, detection_of, modalities_of
from rpc.priority import Priority
from rpc.request_id import forwarded
from rpc.tracing import CLIENT, span

Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to embed: bytes of an image or sketch, or words; of an image, `regions` are embedded instead of all."""

    content: bytes | str
    modality: Modality = "image"
    regions: tuple[Box, ...] = ()

    @property
    def result_count(self) -> int:
        """How many outcomes it has."""
        return len(self.regions) or 1


@dataclass(frozen=True, slots=True)
class Embedded:
    """One embedding, (D,) float32 of unit length, and the encoder's warnings."""

    embedding: npt.NDArray[np.float32]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EncodeTimings:
    """The stages of one call inside the encoder; of several inputs, the slowest one of each stage."""

    decode_ms: float = 0.0
    queue_ms: float = 0.0
    infer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer of the encoder: one outcome for each input, or for each of its regions, in order."""

    space: str
    outcomes: tuple[Embedded | ServiceError, ...]
    timings: EncodeTimings = EncodeTimings()

    def outcomes_in(self, space: str, *, encoder: str) -> tuple[Embedded | ServiceError, ...]:
        """The outcomes; FailedPrecondition where the encoder called `encoder` embeds into another space by now."""
        if self.space != space:
            message = f"encoder {encoder!r} now embeds into space {self.space}, the collection holds {space}"
            raise FailedPrecondition(message)
        return self.outcomes


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What `Describe` says of an encoder bundle."""

    name: str
    version: str
    space: str
    dimension: int
    modalities: frozenset[Modality]
    precision: str
    provider: str
    sha256: str
    purpose: str = ""
    domain: str = ""
    is_default: bool = False
    languages: tuple[str, ...] = ()
    license: str = ""
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class Detected:
    """An answer of the detector: the objects, best first, and the upright image's size."""

    detections: tuple[Detection, ...]
    width_px: int
    height_px: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What `Describe` says of a detector bundle."""

    name: str
    version: str
    labels: tuple[str, ...]
    precision: str
    provider: str
    sha256: str
    purpose: str = ""
    domain: str = ""
    is_default: bool = False
    languages: tuple[str, ...] = ()
    license: str = ""


class EncoderClient:
    """Calls the processes that serve an encoder; failures are ServiceErrors. `channel` is for stubs of their other services."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._stub = encoder_pb2_grpc.EncoderServiceStub(channel)

    async def encode(
        self,
        inputs: Sequence[Input],
        *,
        encoder: str,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        metadata: Metadata = (),
    ) -> Encoded:
        """Embeds 1..64 inputs with at most 256 outcomes; one that fails leaves its error among them."""
        request = encoder_pb2.EncodeRequest(encoder=encoder, inputs=[_input_message(item) for item in inputs])
        with service_errors(f"{encoder} encoder"), _client_span("fovea.encoder.v1.EncoderService/Encode", encoder):
            response = await self._stub.Encode(
                request, timeout=deadline.left_s(), metadata=_metadata(priority, metadata)
            )
        expected = sum(item.result_count for item in inputs)
        if len(response.results) != expected:
            raise Internal(f"the {encoder} encoder gave {len(response.results)} of {expected} results")
        outcomes = tuple(_outcome(result, response.dimension) for result in response.results)
        stages = response.timings
        return Encoded(response.space, outcomes, EncodeTimings(stages.decode_ms, stages.queue_ms, stages.infer_ms))

    async def describe(self, *, deadline: Deadline) -> list[EncoderInfo]:
        """The bundles that this process serves."""
        with service_errors("encoder"):
            response = await self._stub.Describe(encoder_pb2.DescribeRequest(), timeout=deadline.left_s())
        return [
            EncoderInfo(
                space=info.space,
                dimension=info.dimension,
                modalities=modalities_of(info.modalities),
                calibration=_calibration_of(info),
                **_common_of(info),
            )
            for info in response.encoders
        ]


class DetectorClient:
    """Calls the processes that serve a detector, in the same way."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._stub = detector_pb2_grpc.DetectorServiceStub(channel)

    async def detect(
        self,
        image: bytes,
        *,
        detector: str,
        deadline: Deadline,
        min_score: float | None = None,
        limit: int = 0,
        priority: Priority = Priority.INTERACTIVE,
        metadata: Metadata = (),
    ) -> Detected:
        """Finds the objects of one encoded image; None and 0 stand for the server's defaults (0.5 and 100)."""
        request = detector_pb2.DetectRequest(detector=detector, image=image, min_score=min_score, limit=limit)
        with service_errors(f"{detector} detector"), _client_span("fovea.detector.v1.DetectorService/Detect", detector):
            response = await self._stub.Detect(
                request, timeout=deadline.left_s(), metadata=_metadata(priority, metadata)
            )
        detections = tuple(map(detection_of, response.detections))
        return Detected(detections, response.width_px, response.height_px, tuple(response.warnings))

    async def describe(self, *, deadline: Deadline) -> list[DetectorInfo]:
        """The detector bundles that this process serves."""
        with service_errors("detector"):
            response = await self._stub.Describe(detector_pb2.DescribeRequest(), timeout=deadline.left_s())
        return [DetectorInfo(labels=tuple(info.labels), **_common_of(info)) for info in response.detectors]


def calls_of(inputs: Sequence[Input]) -> Iterator[list[Input]]:
    """Splits inputs, in order, into as few calls as the contract allows: 64 inputs, 256 results and 32 MiB each.

    An image larger than that goes alone; only one with more than 256 regions is sent again.
    """
    call: list[Input] = []
    results = size = 0
    for item in (part for whole in inputs for part in _with_few_regions(whole)):
        results, size = results + item.result_count, size + len(item.content)
        if call and (len(call) == MAX_INPUTS or results > MAX_RESULTS or size > MAX_CALL_BYTES):
            yield call
            call, results, size = [], item.result_count, len(item.content)
        call.append(item)
    if call:
        yield call


def _metadata(priority: Priority, given: Metadata) -> Metadata:
    """The metadata of a call: its lane, the request that it is made for, and what its caller gives beside them."""
    return tuple({**dict(priority.metadata), **dict(given), **dict(forwarded())}.items())


def _client_span(method: str, model: str) -> AbstractContextManager[Span]:
    return span(method, {"rpc.system.name": "grpc", "rpc.method": method, "fovea.model": model}, kind=CLIENT)


def _common_of(info: encoder_pb2.EncoderInfo | detector_pb2.DetectorInfo) -> dict[str, Any]:
    """The fields that both kinds of description have, by name."""
    names = ("name", "version", "precision", "provider", "sha256", "purpose", "domain", "is_default", "license")
    return {**{name: getattr(info, name) for name in names}, "languages": tuple(info.languages)}


def _calibration_of(info: encoder_pb2.EncoderInfo) -> Calibration | None:
    """The calibration; None also where it says nothing that could be used."""
    if not info.HasField("calibration"):
        return None
    try:
        return Calibration(**{field.name: getattr(info.calibration, field.name) for field in fields(Calibration)})
    except ValueError:
        return None


def _with_few_regions(item: Input) -> list[Input]:
    """The input as often as its regions need."""
    starts = range(0, item.result_count, MAX_RESULTS)
    return [replace(item, regions=item.regions[start : start + MAX_RESULTS]) for start in starts]


def _input_message(item: Input) -> encoder_pb2.Input:
    message = encoder_pb2.Input(**{item.modality: item.content})  # type: ignore[arg-type]
    boxes = [box_message(region) for region in item.regions]
    if len(boxes) == 1:
        # Encoders of the first release know a single region only, and would take the whole image for it.
        message.region.CopyFrom(boxes[0])
    else:
        message.regions.extend(boxes)
    return message


def _outcome(result: encoder_pb2.Result, dimension: int) -> Embedded | ServiceError:
    if result.WhichOneof("outcome") != "embedding":
        return from_status(result.error)
    embedding = np.frombuffer(result.embedding, dtype="<f4") if len(result.embedding) == 4 * dimension else None
    if embedding is None or not np.all(np.isfinite(embedding)):
        # Stored or compared, NaN would spoil rankings without an error.
        return Internal("the encoder gave an embedding that cannot be used")
    return Embedded(embedding, tuple(result.warnings))
