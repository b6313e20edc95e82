"""Owns the smaller precisions of a bundle whose checkpoint is gone."""

from dataclasses import replace

from encoders.bundle import Bundle
from training.gate import Candidate, gate


def regated(bundle: Bundle, candidate: Candidate) -> Bundle:
    """Gate the bundle's own fp32 file, the candidate's network, and describe the bundle with what passes.

    The fp32 file stays as it is, and with it the space and how near it was to the network that it was exported from.
    """
    gated = gate(candidate, bundle.folder)
    fp32 = {**bundle.gate.get("fp32", {}), **gated.figures["fp32"]}
    described = replace(bundle, precisions=gated.precisions, gate={**gated.figures, "fp32": fp32})
    described.write(bundle.folder)
    return described
