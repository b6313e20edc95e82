"""Moments as messages of the contract."""

from google.protobuf import timestamp_pb2


def timestamp_message(time_s: float) -> timestamp_pb2.Timestamp:
    """The message of a moment in seconds since 1970, to the microsecond."""
    message = timestamp_pb2.Timestamp()
    message.FromNanoseconds(round(time_s * 1_000_000) * 1_000)
    return message
