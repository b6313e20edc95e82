"""What the Open Inference Protocol says of a bundle: its tensors, as metadata and as Triton's model configuration."""

from domain.limits import MAX_INPUTS
from encoders.bundle import Bundle
from fovea.oip.v2 import open_inference_pb2 as oip

EMBEDDING = "embedding"
BOXES, SCORES, LABELS = "boxes", "scores", "labels"

_TensorMetadata = oip.ModelMetadataResponse.TensorMetadata


def input_name(bundle: Bundle) -> str:
    """The name of its one input."""
    return "text" if bundle.kind == "text" else "image"


def output_names(bundle: Bundle) -> tuple[str, ...]:
    """The names of its outputs."""
    return (BOXES, SCORES, LABELS) if bundle.is_detector else (EMBEDDING,)


def metadata_of(bundle: Bundle) -> oip.ModelMetadataResponse:
    """The inputs and outputs with their full shapes."""
    properties: dict[str, str] = {"kind": bundle.kind}
    if not bundle.is_detector:
        properties["space"] = bundle.space
    if bundle.kind not in {"text", "detector"}:
        width_px, height_px = bundle.image_preprocessing.size
        properties["image"] = f"also UINT8 or FP32 [-1, {height_px}, {width_px}, 3], already resized"
    return oip.ModelMetadataResponse(
        name=bundle.name,
        versions=[bundle.version],
        platform="onnx_onnxv1",
        inputs=[_TensorMetadata(name=input_name(bundle), datatype="BYTES", shape=[1 if bundle.is_detector else -1])],
        outputs=_outputs(bundle),
        properties=properties,
    )


def config_of(bundle: Bundle) -> oip.ModelConfig:
    """The same as a model that takes batches, whose dimension is left out; a detector takes one image."""
    config = oip.ModelConfig(
        name=bundle.name,
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=0 if bundle.is_detector else MAX_INPUTS,
        dynamic_batching=oip.ModelDynamicBatching(priority_levels=2, default_priority_level=1),
    )
    read = config.input.add(name=input_name(bundle), data_type=oip.TYPE_STRING, dims=[1])
    if not bundle.is_detector:
        read.reshape.SetInParent()  # to no further dimension: [N] and [N, 1] are the same
    for output in _outputs(bundle):
        data_type = oip.TYPE_STRING if output.datatype == "BYTES" else oip.TYPE_FP32
        dims = output.shape if bundle.is_detector else output.shape[1:]
        config.output.add(name=output.name, data_type=data_type, dims=dims)
    return config


def _outputs(bundle: Bundle) -> list[_TensorMetadata]:
    if not bundle.is_detector:
        return [_TensorMetadata(name=EMBEDDING, datatype="FP32", shape=[-1, bundle.dimension])]
    return [
        _TensorMetadata(name=BOXES, datatype="FP32", shape=[-1, 4]),
        _TensorMetadata(name=SCORES, datatype="FP32", shape=[-1]),
        _TensorMetadata(name=LABELS, datatype="BYTES", shape=[-1]),
    ]
