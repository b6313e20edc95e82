"""The parameters of Open Inference requests: each one is obeyed or refused by name."""

from collections.abc import Collection, Mapping
from typing import Any

from domain.limits import DEFAULT_DETECTIONS, DEFAULT_MIN_SCORE, MAX_DETECTIONS
from fovea.oip.v2 import open_inference_pb2 as oip
from rpc.errors import InvalidArgument
from rpc.priority import Priority

Parameters = Mapping[str, oip.InferParameter]

# Of the protocol over HTTP; KServe's client sends them over gRPC too, where they have no meaning.
_OF_HTTP = frozenset({"binary_data", "binary_data_output", "binary_data_size"})
# Asks streams to mark the last response to a request.
_FINAL_RESPONSE = "triton_enable_empty_final_response"
_ALL_MODELS = _OF_HTTP | {"priority", "timeout", _FINAL_RESPONSE}
_DETECTORS = _ALL_MODELS | {"min_score", "limit"}


def require_known(request: oip.ModelInferRequest, *, is_detector: bool) -> None:
    """Refuse parameters that would change what another server does; those without a value change nothing."""
    _require_known("parameters", request.parameters, _DETECTORS if is_detector else _ALL_MODELS)
    for tensor in request.inputs:
        _require_known(f"{tensor.name}.parameters", tensor.parameters, _OF_HTTP)
    for output in request.outputs:
        _require_known(f"{output.name}.parameters", output.parameters, _OF_HTTP)


def priority_of(parameters: Parameters) -> Priority | None:
    """`priority`: 1 is interactive, more is bulk, 0 or none leaves it to the metadata."""
    value = _whole_number(parameters, "priority", "1 is interactive, 2 and more are bulk")
    if value == 0:
        return None
    return Priority.INTERACTIVE if value == 1 else Priority.BULK


def timeout_s_of(parameters: Parameters) -> float:
    """`timeout`, which is in microseconds, in seconds; 0 without one."""
    return _whole_number(parameters, "timeout", "it is in microseconds") / 1e6


def min_score_of(parameters: Parameters) -> float:
    """`min_score` of a detector, 0..1."""
    if "min_score" not in parameters:
        return DEFAULT_MIN_SCORE
    value = _value(parameters["min_score"])
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidArgument("parameters[min_score]: must be a number between 0 and 1")
    return float(value)


def limit_of(parameters: Parameters) -> int:
    """`limit` of a detector: the most detections, 100 by default."""
    return min(_whole_number(parameters, "limit", "0 means 100") or DEFAULT_DETECTIONS, MAX_DETECTIONS)


def marks_final_response(parameters: Parameters) -> bool:
    """Whether the last response to a request of a stream has to say so."""
    return _FINAL_RESPONSE in parameters and bool(_value(parameters[_FINAL_RESPONSE]))


def _require_known(field: str, parameters: Parameters, known: Collection[str]) -> None:
    for name in parameters:
        if name not in known and _value(parameters[name]):
            raise InvalidArgument(f"{field}[{name}]: is not known here; leave it out")


def _whole_number(parameters: Parameters, name: str, meaning: str) -> int:
    if name not in parameters:
        return 0
    value = _value(parameters[name])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"parameters[{name}]: must be a whole number; {meaning}")
    return value


def _value(parameter: oip.InferParameter) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None
