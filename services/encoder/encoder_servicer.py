"""EncoderService: its messages to inputs of the data plane, outcomes to messages."""

from collections.abc import Iterator
from dataclasses import asdict

import grpc

from domain.limits import MAX_INPUTS
from encoders.serving.session import Embedding
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.errors import InvalidArgument, ServiceError, to_status
from rpc.messages import box_of, modality_numbers
from services.encoder.call import StageTimings
from services.encoder.data_plane import DataPlane, require_counts
from services.encoder.readers import EncoderInput
from services.encoder.served_model import Encoder


class EncoderServicer(encoder_pb2_grpc.EncoderServiceServicer):
    """Serves the encoder bundles of this process."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def Encode(self, request: encoder_pb2.EncodeRequest, context: grpc.ServicerContext) -> encoder_pb2.EncodeResponse:
        """Embed 1 to 64 inputs with at most 256 results; one bad input fails alone."""
        encoder = self._plane.encoder(request.encoder)
        encoded = self._plane.encode(encoder, _inputs(request), context)
        owners = [position for position, message in enumerate(request.inputs) for _ in range(_result_count(message))]
        return encoder_pb2.EncodeResponse(
            space=encoder.bundle.space,
            dimension=encoder.bundle.dimension,
            results=[
                _result(outcome, encoded.warnings.get(position, ()), owner)
                for position, (outcome, owner) in enumerate(zip(encoded.outcomes, owners, strict=True))
            ],
            timings=timings_message(encoded.timings),
        )

    def Describe(
        self, request: encoder_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> encoder_pb2.DescribeResponse:
        """List the bundles by name."""
        encoders = [_info(encoder) for _, encoder in sorted(self._plane.encoders.items())]
        return encoder_pb2.DescribeResponse(encoders=encoders)


def timings_message(timings: StageTimings) -> encoder_pb2.Timings:
    """The message that holds a call's stages."""
    return encoder_pb2.Timings(
        decode_ms=timings.decode_s * 1000,
        queue_ms=timings.queue_s * 1000,
        infer_ms=timings.infer_s * 1000,
        total_ms=timings.total_s * 1000,
        batch_size=timings.batch_size,
    )


def _inputs(request: encoder_pb2.EncodeRequest) -> Iterator[EncoderInput]:
    require_counts(len(request.inputs), results=sum(map(_result_count, request.inputs)))
    for position, message in enumerate(request.inputs):
        modality = message.WhichOneof("content")
        if modality is None:
            raise InvalidArgument(f"inputs[{position}]: has no content; give an image, a sketch or a text")
        region = box_of(message.region) if message.HasField("region") else None
        # Reading a bytes field copies it, so it is read once.
        yield EncoderInput(modality, getattr(message, modality), region, tuple(map(box_of, message.regions)))


def _result_count(message: encoder_pb2.Input) -> int:
    return len(message.regions) or 1


def _result(outcome: Embedding | ServiceError, warnings: tuple[str, ...], input_index: int) -> encoder_pb2.Result:
    if isinstance(outcome, ServiceError):
        return encoder_pb2.Result(error=to_status(outcome), warnings=warnings, input_index=input_index)
    embedding = outcome.astype("<f4", copy=False).tobytes()
    return encoder_pb2.Result(embedding=embedding, warnings=warnings, input_index=input_index)


def _info(encoder: Encoder) -> encoder_pb2.EncoderInfo:
    bundle, choices = encoder.bundle, encoder.choices
    return encoder_pb2.EncoderInfo(
        name=bundle.name,
        version=bundle.version,
        space=bundle.space,
        dimension=bundle.dimension,
        modalities=modality_numbers(bundle.modalities),
        max_inputs=MAX_INPUTS,
        precision=choices.precision,
        provider=choices.provider,
        sha256=choices.sha256,
        purpose=bundle.purpose,
        domain=bundle.domain,
        is_default=bundle.is_default,
        languages=bundle.languages,
        license=bundle.licence,
        threads=choices.threads,
        largest_batch=choices.largest_batch,
        calibration=encoder_pb2.Calibration(**asdict(bundle.calibration)) if bundle.calibration else None,
    )
