"""Bundles, and the models in them: read, served, imported."""

import os

# ONNX Runtime writes an id of the machine into the home folder when it is imported, and reports what it runs to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
