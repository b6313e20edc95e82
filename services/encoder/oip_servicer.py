"""The Open Inference Protocol: Triton's and KServe's clients work on the same bundles."""

import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import grpc
import numpy as np

from encoders.bundle import Bundle
from encoders.serving.session import Embedding
from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from rpc.clients import Detected
from rpc.errors import Cancelled, InvalidArgument, NotFound, ServiceError
from services.encoder.call import StageTimings
from services.encoder.data_plane import DataPlane, EncodedInputs, require_counts
from services.encoder.oip_contexts import hurried, streamed
from services.encoder.oip_models import (
    BOXES,
    EMBEDDING,
    LABELS,
    SCORES,
    config_of,
    input_name,
    metadata_of,
    output_names,
)
from services.encoder.oip_parameters import (
    limit_of,
    marks_final_response,
    min_score_of,
    priority_of,
    require_known,
    timeout_s_of,
)
from services.encoder.oip_statistics import InferenceStatistics
from services.encoder.oip_tensors import PIXEL_TYPES, Tensor, byte_elements, only_input, pixel_elements
from services.encoder.readers import EncoderInput
from services.encoder.served_model import Detector, Encoder, ServedModel

EXTENSIONS = ("model_configuration", "statistics", "schedule_policy", "parameters")

_Output = oip.ModelInferResponse.InferOutputTensor


class OpenInferenceServicer(oip_grpc.GRPCInferenceServiceServicer):
    """Serves the encoder and detector bundles of this process as models."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._statistics = {model.bundle.name: InferenceStatistics(model.bundle) for model in self._models()}

    def ServerLive(self, request: oip.ServerLiveRequest, context: grpc.ServicerContext) -> oip.ServerLiveResponse:
        """A process that answers is alive."""
        return oip.ServerLiveResponse(live=True)

    def ServerReady(self, request: oip.ServerReadyRequest, context: grpc.ServicerContext) -> oip.ServerReadyResponse:
        """Whether every model can run inputs."""
        return oip.ServerReadyResponse(ready=self._plane.is_ready())

    def ModelReady(self, request: oip.ModelReadyRequest, context: grpc.ServicerContext) -> oip.ModelReadyResponse:
        """Whether one model can run inputs; an unknown one is not ready, as Triton and KServe answer."""
        try:
            self._plane.model(request.name, request.version)
        except NotFound:
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=self._plane.is_ready())

    def ServerMetadata(
        self, request: oip.ServerMetadataRequest, context: grpc.ServicerContext
    ) -> oip.ServerMetadataResponse:
        """The server's name and release."""
        return oip.ServerMetadataResponse(name="fovea", version=metadata.version("fovea"), extensions=EXTENSIONS)

    def ModelMetadata(
        self, request: oip.ModelMetadataRequest, context: grpc.ServicerContext
    ) -> oip.ModelMetadataResponse:
        """A model's inputs and outputs."""
        return metadata_of(self._plane.model(request.name, request.version).bundle)

    def ModelConfig(self, request: oip.ModelConfigRequest, context: grpc.ServicerContext) -> oip.ModelConfigResponse:
        """The same as Triton's configuration."""
        return oip.ModelConfigResponse(config=config_of(self._plane.model(request.name, request.version).bundle))

    def ModelStatistics(
        self, request: oip.ModelStatisticsRequest, context: grpc.ServicerContext
    ) -> oip.ModelStatisticsResponse:
        """Of one model, or of all, by name."""
        models = [self._plane.model(request.name, request.version)] if request.name else self._models()
        statistics = [self._statistics[model.bundle.name].as_message() for model in models]
        return oip.ModelStatisticsResponse(model_stats=statistics)

    def RepositoryIndex(
        self, request: oip.RepositoryIndexRequest, context: grpc.ServicerContext
    ) -> oip.RepositoryIndexResponse:
        """Every model of this process, by name."""
        is_ready = self._plane.is_ready()
        listed = self._models() if is_ready or not request.ready else []
        state = "READY" if is_ready else "UNAVAILABLE"
        return oip.RepositoryIndexResponse(
            models=[
                oip.RepositoryIndexResponse.ModelIndex(
                    name=model.bundle.name, version=model.bundle.version, state=state
                )
                for model in listed
            ]
        )

    def ModelInfer(self, request: oip.ModelInferRequest, context: grpc.ServicerContext) -> oip.ModelInferResponse:
        """Run one tensor of images or texts; the protocol has no partial failure, so one bad element fails all."""
        model = self._plane.model(request.model_name, request.model_version)
        statistics, started_s = self._statistics[model.bundle.name], time.perf_counter()
        try:
            tensor, raw = _read(request, model.bundle)
            context = hurried(context, timeout_s_of(request.parameters))
            if model.bundle.is_detector:
                detected, timings = self._detected(request, model, byte_elements(tensor, raw), context)
                response, inputs = _detection_response(request, model.bundle, detected), 1
            else:
                encoded = self._encoded(request, model, tensor, raw, context)
                response, inputs = _embedding_response(request, model.bundle, encoded), len(encoded.outcomes)
                timings = encoded.timings
        except ServiceError:
            statistics.note_failure(time.perf_counter() - started_s)
            raise
        statistics.note(timings, inputs)
        return response

    def ModelStreamInfer(
        self, request_iterator: Iterable[oip.ModelInferRequest], context: grpc.ServicerContext
    ) -> Iterator[oip.ModelStreamInferResponse]:
        """Run each request as `ModelInfer` does; the error of one is its response."""
        with streamed(context) as streaming:
            for request in request_iterator:
                yield self._stream_response(request, streaming)

    def _stream_response(
        self, request: oip.ModelInferRequest, context: grpc.ServicerContext
    ) -> oip.ModelStreamInferResponse:
        try:
            answer = oip.ModelStreamInferResponse(infer_response=self.ModelInfer(request, context))
        except Cancelled:
            raise
        except ServiceError as error:
            failed = oip.ModelInferResponse(model_name=request.model_name, id=request.id)
            answer = oip.ModelStreamInferResponse(error_message=error.message, infer_response=failed)
        if marks_final_response(request.parameters):
            answer.infer_response.parameters["triton_final_response"].bool_param = True
        return answer

    def _encoded(
        self,
        request: oip.ModelInferRequest,
        model: Encoder,
        tensor: Tensor,
        raw: bytes | None,
        context: grpc.ServicerContext,
    ) -> EncodedInputs:
        bundle, priority = model.bundle, priority_of(request.parameters)
        if tensor.datatype in PIXEL_TYPES:
            pixels = pixel_elements(tensor, raw, bundle.image_preprocessing.size)
            return self._plane.encode_tensor(model, pixels, context, priority)
        return self._plane.encode(model, _inputs(bundle, byte_elements(tensor, raw)), context, priority)

    def _detected(
        self,
        request: oip.ModelInferRequest,
        model: Detector,
        images: Sequence[bytes],
        context: grpc.ServicerContext,
    ) -> tuple[Detected, StageTimings]:
        if len(images) != 1:
            raise InvalidArgument(f"image: a detector takes one image in a call, not {len(images)}")
        return self._plane.detect(
            model,
            images[0],
            context,
            min_score=min_score_of(request.parameters),
            limit=limit_of(request.parameters),
            priority=priority_of(request.parameters),
        )

    def _models(self) -> list[ServedModel[Any]]:
        served: dict[str, ServedModel[Any]] = {**self._plane.encoders, **self._plane.detectors}
        return [model for _, model in sorted(served.items())]


def _read(request: oip.ModelInferRequest, bundle: Bundle) -> tuple[Tensor, bytes | None]:
    """The one input with its raw contents, where all that is asked for can be had."""
    require_known(request, is_detector=bundle.is_detector)
    if unknown := [output.name for output in request.outputs if output.name not in output_names(bundle)]:
        names = ", ".join(map(repr, output_names(bundle)))
        raise InvalidArgument(f"outputs: there is {names}, not {unknown[0]!r}")
    tensor, raw = only_input(request)
    if tensor.name != input_name(bundle):
        raise InvalidArgument(f"inputs: {bundle.name} takes {input_name(bundle)!r}, not {tensor.name!r}")
    require_counts(tensor.shape[0] if tensor.shape else 0, field=tensor.name)
    has_pixels = not (bundle.is_detector or bundle.kind == "text")
    if tensor.datatype != "BYTES" and not (has_pixels and tensor.datatype in PIXEL_TYPES):
        raise InvalidArgument(f"{tensor.name}: its datatype is not {tensor.datatype!r}; see ModelMetadata")
    return tensor, raw


def _inputs(bundle: Bundle, elements: Sequence[bytes]) -> list[EncoderInput]:
    if bundle.kind == "text":
        return [EncoderInput("text", _utf8(position, element)) for position, element in enumerate(elements)]
    return [EncoderInput("sketch" if bundle.kind == "sketch" else "image", element) for element in elements]


def _utf8(position: int, element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"text[{position}]: is not UTF-8") from error


def _usable(position: int, outcome: Embedding | ServiceError) -> Embedding:
    if isinstance(outcome, ServiceError):
        raise type(outcome)(f"element {position}: {outcome.message}", reason=outcome.reason) from outcome
    return outcome


def _embedding_response(
    request: oip.ModelInferRequest, bundle: Bundle, encoded: EncodedInputs
) -> oip.ModelInferResponse:
    embeddings = [_usable(position, outcome) for position, outcome in enumerate(encoded.outcomes)]
    tensor = _Output(name=EMBEDDING, datatype="FP32", shape=(len(embeddings), bundle.dimension))
    raw = b"".join(embedding.astype("<f4", copy=False).tobytes() for embedding in embeddings)
    return _response(request, bundle, {EMBEDDING: (tensor, raw)})


def _detection_response(request: oip.ModelInferRequest, bundle: Bundle, detected: Detected) -> oip.ModelInferResponse:
    found = detected.detections
    boxes = np.asarray([detection.box for detection in found], "<f4").reshape(-1, 4)
    scores = np.asarray([detection.score for detection in found], "<f4")
    labels = [detection.label.encode() for detection in found]
    packed = b"".join(struct.pack("<I", len(label)) + label for label in labels)
    tensors = {
        BOXES: (_Output(name=BOXES, datatype="FP32", shape=boxes.shape), boxes.tobytes()),
        SCORES: (_Output(name=SCORES, datatype="FP32", shape=scores.shape), scores.tobytes()),
        LABELS: (_Output(name=LABELS, datatype="BYTES", shape=[len(labels)]), packed),
    }
    return _response(request, bundle, tensors)


def _response(
    request: oip.ModelInferRequest, bundle: Bundle, tensors: Mapping[str, tuple[_Output, bytes]]
) -> oip.ModelInferResponse:
    """The outputs that are asked for, in that order; all of them where none is."""
    asked = [tensors[output.name] for output in request.outputs] or list(tensors.values())
    return oip.ModelInferResponse(
        model_name=bundle.name,
        model_version=bundle.version,
        id=request.id,
        outputs=[tensor for tensor, _ in asked],
        raw_output_contents=[raw for _, raw in asked],
    )
