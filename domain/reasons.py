"""The reasons of errors, for programs: `reason` of google.rpc.ErrorInfo, and of problem documents over HTTP."""

# A bound is reached; send again later.
QUEUE_FULL = "QUEUE_FULL"
IN_FLIGHT_LIMIT = "IN_FLIGHT_LIMIT"
STREAM_LIMIT = "STREAM_LIMIT"
FOLLOWER_LIMIT = "FOLLOWER_LIMIT"
BODY_BYTES_LIMIT = "BODY_BYTES_LIMIT"
RATE_LIMIT = "RATE_LIMIT"
CALLER_LIMIT = "CALLER_LIMIT"

# The request cannot be served as it is.
MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
ANSWER_TOO_LARGE = "ANSWER_TOO_LARGE"
UNSUPPORTED_PICTURE = "UNSUPPORTED_PICTURE"
CHANGED_SINCE_INGEST = "CHANGED_SINCE_INGEST"

# The server cannot serve now; STARTING and SHUTTING_DOWN are what another replica would not answer.
NOT_READY = "NOT_READY"
STARTING = "STARTING"
SHUTTING_DOWN = "SHUTTING_DOWN"
