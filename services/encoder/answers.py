"""What all faces of the encoder process share: which bundle is meant, whose error it is, and how long it took."""

from collections.abc import Mapping
from typing import TypeVar

from domain.reasons import UNSUPPORTED_PICTURE
from encoders.errors import InvalidContent, ModelError, UnsupportedImage
from fovea.encoder.v1 import encoder_pb2
from rpc import telemetry
from rpc.errors import Internal, InvalidArgument, NotFound, ServiceError
from services.encoder.call import Timings

Served = TypeVar("Served")


def pick(served: Mapping[str, Served], name: str, kind: str) -> Served:
    """Choose by name; no name is enough where there is no choice."""
    if not name and len(served) == 1:
        return next(iter(served.values()))
    if name in served:
        return served[name]
    known = ", ".join(sorted(served)) or "none"
    if not name and served:
        raise InvalidArgument(f"{kind}: several are served, so name one of them: {known}")
    raise NotFound(f"{kind}: {name!r} is not served here; there is {known}")


def service_error(error: InvalidContent | ModelError) -> ServiceError:
    """Translate what is wrong with one input."""
    if isinstance(error, ModelError):
        return Internal("the model gave no usable answer for this input")
    return InvalidArgument(str(error), reason=UNSUPPORTED_PICTURE if isinstance(error, UnsupportedImage) else "")


def timings_message(timings: Timings, total_s: float) -> encoder_pb2.Timings:
    """Report a call's stages to its caller and to the metrics."""
    stages = {"decode": timings.decode_s, "queue": timings.queue_s, "infer": timings.infer_s}
    for stage, seconds in stages.items():
        telemetry.STAGE_DURATION.labels(stage).observe(seconds)
    return encoder_pb2.Timings(
        decode_ms=timings.decode_s * 1000,
        queue_ms=timings.queue_s * 1000,
        infer_ms=timings.infer_s * 1000,
        total_ms=total_s * 1000,
        batch_size=timings.batch_size,
    )
