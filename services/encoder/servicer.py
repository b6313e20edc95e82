"""The encoder's face to the wire: EncoderService messages to contents, outcomes to messages."""

import time
from collections.abc import Mapping

import grpc

from domain.limits import MAX_INPUTS, MAX_RESULTS
from encoders.errors import InvalidContent, ModelError
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.errors import InvalidArgument, to_status
from rpc.messages import box_of, modality_numbers
from services.encoder.admission import Admission
from services.encoder.answers import pick, service_error, timings_message
from services.encoder.encoder import Encoder, Outcome
from services.encoder.reading import Content


class EncoderServicer(encoder_pb2_grpc.EncoderServiceServicer):
    """Serves the encoder bundles of this process."""

    def __init__(self, encoders: Mapping[str, Encoder], admission: Admission) -> None:
        self._encoders = encoders
        self._admission = admission

    def Encode(self, request: encoder_pb2.EncodeRequest, context: grpc.ServicerContext) -> encoder_pb2.EncodeResponse:
        """Embed 1 to 64 inputs with at most 256 results; one bad input fails alone."""
        started_s = time.perf_counter()
        encoder = pick(self._encoders, request.encoder, "encoder")
        contents = _contents(request, encoder)
        inputs = [index for index, content in enumerate(contents) for _ in content.parts]
        with self._admission.call(context, len(inputs)) as call:
            outcomes = encoder.encode(contents, call)
        return encoder_pb2.EncodeResponse(
            space=encoder.bundle.space,
            dimension=encoder.bundle.dimension,
            results=[
                _result(index, outcome, call.warnings.get(place, ()))
                for place, (index, outcome) in enumerate(zip(inputs, outcomes, strict=True))
            ],
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
    results = sum(max(1, len(message.regions)) for message in request.inputs)
    if results > MAX_RESULTS:
        raise InvalidArgument(f"inputs: ask for at most {MAX_RESULTS} results in one call, not {results}")
    return [_content(place, message, encoder) for place, message in enumerate(request.inputs)]


def _content(place: int, message: encoder_pb2.Input, encoder: Encoder) -> Content:
    modality = message.WhichOneof("content")
    known = " or ".join(encoder.bundle.modalities)
    if modality is None:
        raise InvalidArgument(f"inputs[{place}]: has no content; give {known}")
    if modality not in encoder.bundle.modalities:
        raise InvalidArgument(f"inputs[{place}]: {encoder.bundle.name} reads {known}, not {modality}")
    region = box_of(message.region) if message.HasField("region") else None
    regions = tuple(map(box_of, message.regions))
    if (region or regions) and modality != "image":
        field = "region" if region else "regions"
        raise InvalidArgument(f"inputs[{place}].{field}: only an image has regions, not a {modality}")
    # Reading a bytes field copies it, so it is read once.
    return Content(modality, getattr(message, modality), region, regions)


def _result(index: int, outcome: Outcome, warnings: tuple[str, ...]) -> encoder_pb2.Result:
    if isinstance(outcome, InvalidContent | ModelError):
        status = to_status(service_error(outcome))
        return encoder_pb2.Result(error=status, warnings=warnings, input_index=index)
    embedding = outcome.astype("<f4", copy=False).tobytes()
    return encoder_pb2.Result(embedding=embedding, warnings=warnings, input_index=index)


def _info(encoder: Encoder) -> encoder_pb2.EncoderInfo:
    bundle = encoder.bundle
    return encoder_pb2.EncoderInfo(
        name=bundle.name,
        version=bundle.version,
        space=bundle.space,
        dimension=bundle.dimension,
        modalities=modality_numbers(bundle.modalities),
        max_inputs=MAX_INPUTS,
        precision=encoder.graph.precision,
        provider=encoder.graph.provider,
        sha256=encoder.graph.sha256,
    )
