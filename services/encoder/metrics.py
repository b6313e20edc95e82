"""What the encoder counts about its models; everything about calls is counted in `rpc`."""

from prometheus_client import Counter, Gauge, Histogram

BATCH_SIZE = Histogram(
    "fovea_batch_size", "Inputs in one run of a model.", ["model"], buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
QUEUE_DEPTH = Gauge("fovea_queue_depth", "Inputs admitted and not yet answered.", ["model", "priority"])
BUSY = Counter("fovea_model_busy_seconds_total", "Time inside ONNX Runtime.", ["model"])
ITEMS = Counter("fovea_inference_items_total", "Inputs that a model has run.", ["model"])
BATCHES = Counter("fovea_inference_batches_total", "Runs of a model.", ["model"])
FAILURES = Counter("fovea_inference_failures_total", "Runs of a model that failed.", ["model"])
