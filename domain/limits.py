"""The limits and defaults of the contract, each defined once."""

# One call of an encoder.
MAX_INPUTS = 64
MAX_RESULTS = 256
MAX_CALL_BYTES = 32 << 20

# One encoder.
MAX_FRONTS = 64

# One call of a detector.
DEFAULT_MIN_SCORE = 0.5
DEFAULT_DETECTIONS = 100
MAX_DETECTIONS = 1000

# One image.
MAX_IMAGE_BYTES = 60 << 20  # a message of 64 MiB holds it
MAX_URI_BYTES = 4096
MAX_REGIONS = 1000
MAX_LABEL_BYTES = 1024
MAX_DISPLAY_NAME = 200  # characters
MAX_METADATA_BYTES = 16 << 10  # as compact JSON in UTF-8
MAX_METADATA_LEVELS = 16  # objects and lists inside each other, the metadata itself included
MAX_INTEGER = 2**53 - 1  # doubles hold every integer up to here

# One search.
MAX_QUERIES = 64
MAX_PARTS = 16
MAX_WEIGHT = 1000.0
MAX_QUERY_OBJECTS = 32
MAX_FILTER_CHARACTERS = 4096
DEFAULT_HITS = 10
MAX_HITS = 1000
MAX_OFFSET = 10_000
MAX_PAGE_TOKEN_CHARACTERS = 8 << 10
MAX_FACETS = 8
MAX_FACET_VALUES = 100

# One call of the ingest service.
MAX_DELETED = 10_000
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
