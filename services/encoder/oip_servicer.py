"""The Open Inference Protocol: Triton's and KServe's clients work on the same bundles."""

from collections.abc import Sequence
from importlib import metadata

import grpc

from encoders.bundle import Bundle
from encoders.serving.session import Embedding
from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from rpc.errors import InvalidArgument, NotFound, ServiceError, Unimplemented
from rpc.priority import Priority
from services.encoder.data_plane import DataPlane, EncodedInputs, require_counts
from services.encoder.oip_tensors import byte_elements, only_input, pixel_elements
from services.encoder.readers import EncoderInput
from services.encoder.served_model import Encoder

OUTPUT = "embedding"

_TensorMetadata = oip.ModelMetadataResponse.TensorMetadata


class OpenInferenceServicer(oip_grpc.GRPCInferenceServiceServicer):
    """Serves the encoder bundles of this process as models; detectors are listed and used through DetectorService."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

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
        return oip.ServerMetadataResponse(name="fovea", version=metadata.version("fovea"))

    def ModelMetadata(
        self, request: oip.ModelMetadataRequest, context: grpc.ServicerContext
    ) -> oip.ModelMetadataResponse:
        """A model's inputs and outputs."""
        return _metadata(self._plane.model(request.name, request.version).bundle)

    def ModelInfer(self, request: oip.ModelInferRequest, context: grpc.ServicerContext) -> oip.ModelInferResponse:
        """Embed one tensor of images or texts; the protocol has no partial failure, so one bad element fails all."""
        model = self._plane.model(request.model_name, request.model_version)
        if model.bundle.kind == "detector":
            raise Unimplemented(f"{model.bundle.name} is a detector; call fovea.detector.v1.DetectorService")
        if unknown := [output.name for output in request.outputs if output.name != OUTPUT]:
            raise InvalidArgument(f"outputs: there is {OUTPUT!r}, not {unknown[0]!r}")
        return _response(request, model.bundle, self._encoded(request, model, context))

    def _encoded(self, request: oip.ModelInferRequest, model: Encoder, context: grpc.ServicerContext) -> EncodedInputs:
        bundle, priority = model.bundle, _priority(request)
        tensor, raw = only_input(request)
        if tensor.name != _input_name(bundle):
            raise InvalidArgument(f"inputs: {bundle.name} takes {_input_name(bundle)!r}, not {tensor.name!r}")
        require_counts(tensor.shape[0] if tensor.shape else 0, field=tensor.name)
        if tensor.datatype == "UINT8" and bundle.kind != "text":
            pixels = pixel_elements(tensor, raw, bundle.image_preprocessing.size)
            return self._plane.encode_tensor(model, pixels, context, priority)
        if tensor.datatype != "BYTES":
            raise InvalidArgument(f"{tensor.name}: its datatype is not {tensor.datatype!r}; see ModelMetadata")
        return self._plane.encode(model, _inputs(bundle, byte_elements(tensor, raw)), context, priority)


def _priority(request: oip.ModelInferRequest) -> Priority | None:
    """The request parameter `priority`: 1 is interactive, more is bulk, 0 or none leaves it to the metadata."""
    if "priority" not in request.parameters:
        return None
    parameter = request.parameters["priority"]
    kind = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, kind) if kind in {"int64_param", "uint64_param"} else -1
    if value < 0:
        raise InvalidArgument("parameters[priority]: must be a whole number; 1 is interactive, 2 and more are bulk")
    if value == 0:
        return None
    return Priority.INTERACTIVE if value == 1 else Priority.BULK


def _input_name(bundle: Bundle) -> str:
    return "text" if bundle.kind == "text" else "image"


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


def _response(request: oip.ModelInferRequest, bundle: Bundle, encoded: EncodedInputs) -> oip.ModelInferResponse:
    embeddings = [_usable(position, outcome) for position, outcome in enumerate(encoded.outcomes)]
    shape = (len(embeddings), bundle.dimension)
    output = oip.ModelInferResponse.InferOutputTensor(name=OUTPUT, datatype="FP32", shape=shape)
    return oip.ModelInferResponse(
        model_name=bundle.name,
        model_version=bundle.version,
        id=request.id,
        outputs=[output],
        raw_output_contents=[b"".join(embedding.astype("<f4", copy=False).tobytes() for embedding in embeddings)],
    )


def _metadata(bundle: Bundle) -> oip.ModelMetadataResponse:
    outputs = [_TensorMetadata(name=OUTPUT, datatype="FP32", shape=[-1, bundle.dimension])]
    properties = {"kind": bundle.kind, "space": bundle.space}
    if bundle.kind not in {"text", "detector"}:
        width_px, height_px = bundle.image_preprocessing.size
        properties["image"] = f"also UINT8 [-1, {height_px}, {width_px}, 3], already resized"
    return oip.ModelMetadataResponse(
        name=bundle.name,
        versions=[bundle.version],
        platform="onnx_onnxv1",
        inputs=[_TensorMetadata(name=_input_name(bundle), datatype="BYTES", shape=[-1])],
        outputs=[] if bundle.kind == "detector" else outputs,
        properties=properties,
    )
