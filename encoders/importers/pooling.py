"""From what a network gives to one embedding an image: which shapes are one already, and how others are pooled."""

from collections.abc import Sequence
from math import prod
from typing import Literal, get_args

import numpy as np

from encoders.errors import BundleError
from encoders.importers.nodes import Nodes
from encoders.importers.spec import ImageSpec, Pooling

_REDUCTIONS: dict[Pooling, Literal["ReduceMean", "ReduceMax"]] = {"mean": "ReduceMean", "max": "ReduceMax"}


def check_output(shape: Sequence[int], spec: ImageSpec, *, output: str, batch: int) -> None:
    """Raise `BundleError` unless an output of this shape, for `batch` images, is or is pooled to one embedding each.

    (N, D) is one, and so is any shape with a single axis that is not 1, such as (N, D, 1, 1). With the spec's `pooling`
    tokens are (N, T, D), and maps (N, C, H, W), or (N, H, W, C) where the spec's layout is NHWC.
    """
    per_image = tuple(shape[1:] if len(shape) > 1 or batch > 1 else shape)
    shown = f"The model's output {output} is {' x '.join(map(str, shape)) or 'a single number'}"
    if len(shape) > 1 and shape[0] != batch:
        raise BundleError(f"{shown} for {batch} images: name an output whose first axis counts the images.")
    if spec.pooling is None:
        if prod(per_image) != max(per_image, default=0):
            raise BundleError(f"{shown}, not one embedding an image: {_remedy(len(shape))}.")
    elif spec.pooling not in _poolings(len(shape)):
        raise BundleError(f'{shown}, so the spec\'s "pooling": "{spec.pooling}" does not fit: {_remedy(len(shape))}.')


def pooled(nodes: Nodes, floats: str, spec: ImageSpec, rank: int) -> str:
    """Append what the spec's `pooling` does to a float32 tensor of this rank; without `pooling` nothing."""
    if spec.pooling is None:
        return floats
    if spec.pooling == "cls":
        first = nodes.constant("fovea/first_token", np.array(0, np.int64))
        return nodes.add("Gather", [floats, first], "fovea/pooled", axis=1)
    return nodes.reduce(_REDUCTIONS[spec.pooling], floats, "fovea/pooled", axes=_axes(spec, rank))


def _axes(spec: ImageSpec, rank: int) -> tuple[int, ...]:
    if rank == 3:
        return (1,)
    return (2, 3) if spec.layout == "NCHW" else (1, 2)


def _poolings(rank: int) -> tuple[Pooling, ...]:
    return {3: get_args(Pooling), 4: tuple(_REDUCTIONS)}.get(rank, ())


def _remedy(rank: int) -> str:
    name = "name a tensor of the graph that is (N, D) as the spec's output"
    if not (choices := _poolings(rank)):
        return name if rank != 2 else "leave it out"
    what = "tokens" if rank == 3 else "a map"
    return f'if these are {what}, give the spec a "pooling" of {" or ".join(choices)}; else {name}'
