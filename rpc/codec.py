"""Messages on the wire: decoded and encoded inside the call, so that what fails becomes the call's status."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Error as ProtobufError

from domain.reasons import ANSWER_TOO_LARGE, MESSAGE_TOO_LARGE
from rpc.errors import InvalidArgument, ServiceError

# gRPC refuses a message over its limit without a reason for programs, so it lets a little more through, and we refuse.
REFUSABLE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Codec:
    """How one method's messages become bytes and back."""

    method: str
    handler: "grpc.RpcMethodHandler[Any, Any]"
    max_bytes: int

    def decode(self, data: bytes) -> Any:
        """The message; where there is none in `data`, the error, because gRPC answers what a deserializer raises itself.

        Give it to `received` where the call is observed.
        """
        if len(data) > self.max_bytes:
            return InvalidArgument(
                f"the message is too large: it has {len(data):,} bytes, and this server takes {self.max_bytes:,}",
                reason=MESSAGE_TOO_LARGE,
            )
        try:
            return self.handler.request_deserializer(data) if self.handler.request_deserializer else data
        except (ProtobufError, ValueError):
            # The library's own message would show its classes to the caller.
            return InvalidArgument(f"the bytes are not a message that {self.method} takes")

    def encode(self, message: Any) -> bytes:
        """The answer's bytes; InvalidArgument where they are more than a message may have."""
        data: bytes = self.handler.response_serializer(message) if self.handler.response_serializer else message
        if len(data) > self.max_bytes:
            raise InvalidArgument(
                f"the answer is too large: it has {len(data):,} bytes, and a message holds {self.max_bytes:,}; "
                "ask for fewer queries, hits or images in one call",
                reason=ANSWER_TOO_LARGE,
            )
        return data


def received(decoded: Any) -> Any:
    """What `Codec.decode` found; raises where that is an error."""
    if isinstance(decoded, ServiceError):
        raise decoded
    return decoded
