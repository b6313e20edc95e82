"""The Open Inference Protocol's face: Triton's and KServe's clients work on the same bundles."""

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

import grpc
import numpy as np

from domain.limits import MAX_INPUTS
from encoders.bundle import Bundle
from encoders.errors import InvalidContent, ModelError
from encoders.serving.session import Embedding
from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from rpc.errors import InvalidArgument, NotFound, Unimplemented
from rpc.priority import Priority
from services.encoder.admission import Admission
from services.encoder.answers import service_error
from services.encoder.call import Call
from services.encoder.detector import Detector
from services.encoder.encoder import Encoder, Outcome
from services.encoder.oip_tensors import byte_elements, only_input, pixel_elements
from services.encoder.reading import Content

PLATFORM = "onnx_onnxv1"
OUTPUT = "embedding"

_TensorMetadata = oip.ModelMetadataResponse.TensorMetadata


class OpenInferenceServicer(oip_grpc.GRPCInferenceServiceServicer):
    """Serves the encoder bundles of this process as models; detectors are listed and used through DetectorService."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        detectors: Mapping[str, Detector],
        admission: Admission,
        *,
        is_ready: Callable[[], bool],
    ) -> None:
        self._encoders = encoders
        self._detectors = detectors
        self._admission = admission
        self._is_ready = is_ready

    def ServerLive(self, request: oip.ServerLiveRequest, context: grpc.ServicerContext) -> oip.ServerLiveResponse:
        """Answer, which is the answer."""
        return oip.ServerLiveResponse(live=True)

    def ServerReady(self, request: oip.ServerReadyRequest, context: grpc.ServicerContext) -> oip.ServerReadyResponse:
        """Tell whether every model takes inputs."""
        return oip.ServerReadyResponse(ready=self._is_ready())

    def ModelReady(self, request: oip.ModelReadyRequest, context: grpc.ServicerContext) -> oip.ModelReadyResponse:
        """Tell whether one model takes inputs; an unknown one does not, as Triton and KServe answer."""
        try:
            self._bundle(request.name, request.version)
        except NotFound:
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=self._is_ready())

    def ServerMetadata(
        self,
        request: oip.ServerMetadataRequest,
        context: grpc.ServicerContext,
    ) -> oip.ServerMetadataResponse:
        """Name the server and its release."""
        return oip.ServerMetadataResponse(name="fovea", version=metadata.version("fovea"))

    def ModelMetadata(
        self,
        request: oip.ModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> oip.ModelMetadataResponse:
        """Tell what a model takes and gives."""
        return _metadata(self._bundle(request.name, request.version))

    def ModelInfer(self, request: oip.ModelInferRequest, context: grpc.ServicerContext) -> oip.ModelInferResponse:
        """Embed one tensor of pictures or texts; the protocol knows no partial failure, so one bad input fails all."""
        bundle = self._bundle(request.model_name, request.model_version)
        if bundle.name in self._detectors:
            raise Unimplemented(f"{bundle.name} is a detector; call fovea.detector.v1.DetectorService")
        for output in request.outputs:
            if output.name != OUTPUT:
                raise InvalidArgument(f"outputs: there is {OUTPUT!r}, not {output.name!r}")
        with self._admission.call(context, _count(request, bundle), _priority(request)) as call:
            outcomes = _infer(request, self._encoders[bundle.name], call)
        return _response(request, bundle, _all_usable(outcomes))

    def _bundle(self, name: str, version: str) -> Bundle:
        served = self._encoders.get(name) or self._detectors.get(name)
        if served is None or version not in {"", served.bundle.version}:
            known = ", ".join(sorted([*self._encoders, *self._detectors]))
            raise NotFound(f"model {name!r} {version} is not served here; there is {known}".replace("  ", " "))
        return served.bundle


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


def _count(request: oip.ModelInferRequest, bundle: Bundle) -> int:
    """How many elements the request's one tensor says that it has."""
    tensor, _ = only_input(request)
    if tensor.name != _input_name(bundle):
        raise InvalidArgument(f"inputs: {bundle.name} takes {_input_name(bundle)!r}, not {tensor.name!r}")
    count = tensor.shape[0] if tensor.shape else 0
    if not 1 <= count <= MAX_INPUTS:
        raise InvalidArgument(f"{tensor.name}: send 1 to {MAX_INPUTS} elements, not {count}")
    return count


def _infer(request: oip.ModelInferRequest, encoder: Encoder, call: Call[Embedding]) -> list[Outcome]:
    tensor, raw = only_input(request)
    bundle = encoder.bundle
    if tensor.datatype == "UINT8" and bundle.kind != "text":
        return encoder.encode_pixels(pixel_elements(tensor, raw, bundle.image_preprocessing.size), call)
    if tensor.datatype != "BYTES":
        raise InvalidArgument(f"{tensor.name}: its datatype is not {tensor.datatype!r}; see ModelMetadata")
    return encoder.encode(_contents(bundle, byte_elements(tensor, raw)), call)


def _input_name(bundle: Bundle) -> str:
    return "text" if bundle.kind == "text" else "image"


def _contents(bundle: Bundle, elements: Sequence[bytes]) -> list[Content]:
    match bundle.kind:
        case "text":
            return [Content("text", _utf8(place, element)) for place, element in enumerate(elements)]
        case "sketch":
            return [Content("sketch", element) for element in elements]
        case _:
            return [Content("image", element) for element in elements]


def _utf8(place: int, element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"text[{place}]: is not UTF-8") from error


def _all_usable(outcomes: Sequence[Outcome]) -> list[Embedding]:
    embeddings = []
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, InvalidContent | ModelError):
            error = service_error(outcome)
            raise type(error)(f"element {place}: {error.message}", reason=error.reason) from outcome
        embeddings.append(outcome)
    return embeddings


def _response(request: oip.ModelInferRequest, bundle: Bundle, embeddings: list[Embedding]) -> oip.ModelInferResponse:
    stacked = np.stack(embeddings).astype("<f4", copy=False)
    output = oip.ModelInferResponse.InferOutputTensor(name=OUTPUT, datatype="FP32", shape=stacked.shape)
    return oip.ModelInferResponse(
        model_name=bundle.name,
        model_version=bundle.version,
        id=request.id,
        outputs=[output],
        raw_output_contents=[stacked.tobytes()],
    )


def _metadata(bundle: Bundle) -> oip.ModelMetadataResponse:
    is_detector = bundle.kind == "detector"
    outputs = [_TensorMetadata(name=OUTPUT, datatype="FP32", shape=[-1, bundle.dimension])]
    properties = {"kind": bundle.kind, "space": bundle.space}
    if bundle.kind not in {"text", "detector"}:
        width_px, height_px = bundle.image_preprocessing.size
        properties["image"] = f"also UINT8 [-1, {height_px}, {width_px}, 3], already resized"
    return oip.ModelMetadataResponse(
        name=bundle.name,
        versions=[bundle.version],
        platform=PLATFORM,
        inputs=[_TensorMetadata(name=_input_name(bundle), datatype="BYTES", shape=[-1])],
        outputs=[] if is_detector else outputs,
        properties=properties,
    )
