"""The encoder's face to the wire: EncoderService messages to contents, outcomes to messages."""

import time
from collections.abc import Mapping

import grpc

from encoders.errors import InvalidContent, ModelError
from encoders.session import Embedding
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.types.v1 import types_pb2
from rpc.clients import box_of
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, to_status
from services.encoder.answers import pick, service_error, timings_message
from services.encoder.call import Call
from services.encoder.encoder import Encoder, Outcome
from services.encoder.reading import Content
from services.encoder.settings import MAX_INPUTS

_MODALITIES = {
    "image": types_pb2.MODALITY_IMAGE,
    "sketch": types_pb2.MODALITY_SKETCH,
    "text": types_pb2.MODALITY_TEXT,
}


class EncoderServicer(encoder_pb2_grpc.EncoderServiceServicer):
    """Serves the encoder bundles of this process."""

    def __init__(self, encoders: Mapping[str, Encoder], *, max_time_s: float) -> None:
        self._encoders = encoders
        self._max_time_s = max_time_s

    def Encode(self, request: encoder_pb2.EncodeRequest, context: grpc.ServicerContext) -> encoder_pb2.EncodeResponse:
        """Embed 1 to 64 inputs; one bad input fails alone."""
        started_s = time.perf_counter()
        deadline = Deadline.of(context, max_s=self._max_time_s)
        deadline.left_s()
        encoder = pick(self._encoders, request.encoder, "encoder")
        contents = _contents(request, encoder)
        call: Call[Embedding] = Call(len(contents), deadline)
        if not context.add_callback(call.cancel):
            call.cancel()
        outcomes = encoder.encode(contents, call)
        return encoder_pb2.EncodeResponse(
            space=encoder.bundle.space,
            dimension=encoder.bundle.dimension,
            results=[_result(outcome, call.warnings.get(place, ())) for place, outcome in enumerate(outcomes)],
            timings=timings_message(call.timings, time.perf_counter() - started_s),
        )

    def Describe(
        self,
        request: encoder_pb2.DescribeRequest,
        context: grpc.ServicerContext,
    ) -> encoder_pb2.DescribeResponse:
        """List the bundles by name."""
        return encoder_pb2.DescribeResponse(encoders=[_info(self._encoders[name]) for name in sorted(self._encoders)])


def _contents(request: encoder_pb2.EncodeRequest, encoder: Encoder) -> list[Content]:
    if not 1 <= len(request.inputs) <= MAX_INPUTS:
        raise InvalidArgument(f"inputs: send 1 to {MAX_INPUTS} in one call, not {len(request.inputs)}")
    return [_content(place, message, encoder) for place, message in enumerate(request.inputs)]


def _content(place: int, message: encoder_pb2.Input, encoder: Encoder) -> Content:
    modality = message.WhichOneof("content")
    known = " or ".join(encoder.bundle.modalities)
    if modality is None:
        raise InvalidArgument(f"inputs[{place}]: has no content; give {known}")
    if modality not in encoder.bundle.modalities:
        raise InvalidArgument(f"inputs[{place}]: {encoder.bundle.name} reads {known}, not {modality}")
    has_region = message.HasField("region")
    if has_region and modality != "image":
        raise InvalidArgument(f"inputs[{place}].region: only an image has regions, not a {modality}")
    # Reading a bytes field copies it, so it is read once.
    return Content(modality, getattr(message, modality), box_of(message.region) if has_region else None)


def _result(outcome: Outcome, warnings: tuple[str, ...]) -> encoder_pb2.Result:
    if isinstance(outcome, InvalidContent | ModelError):
        return encoder_pb2.Result(error=to_status(service_error(outcome)), warnings=warnings)
    return encoder_pb2.Result(embedding=outcome.astype("<f4", copy=False).tobytes(), warnings=warnings)


def _info(encoder: Encoder) -> encoder_pb2.EncoderInfo:
    bundle = encoder.bundle
    return encoder_pb2.EncoderInfo(
        name=bundle.name,
        version=bundle.version,
        space=bundle.space,
        dimension=bundle.dimension,
        modalities=[_MODALITIES[modality] for modality in bundle.modalities],
        max_inputs=MAX_INPUTS,
        precision=encoder.graph.precision,
        provider=encoder.graph.provider,
        sha256=encoder.graph.sha256,
    )
