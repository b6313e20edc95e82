"""Owns the `.lopq` file of the published implementation (yahoo/lopq): a protobuf message of the learnt arrays.

It has no projection: the published code expects data that was projected before.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from training.lopq.fit import Learnt
from training.lopq.model import Floats, LopqModel

_PACKAGE = "com.flickr.vision.lopq"
_Field = descriptor_pb2.FieldDescriptorProto
# Of each message the fields by name: number, type, and whether it is repeated.
_MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "Vector": {"values": (1, _Field.TYPE_FLOAT, True)},
    "Matrix": {"values": (1, _Field.TYPE_FLOAT, True), "shape": (2, _Field.TYPE_UINT32, True)},
    "LOPQModelParams": {
        "D": (1, _Field.TYPE_UINT32, False),
        "V": (2, _Field.TYPE_UINT32, False),
        "M": (3, _Field.TYPE_UINT32, False),
        # The number of centroids of a part, whatever its name says.
        "num_subquantizers": (4, _Field.TYPE_UINT32, False),
        "Cs": (5, "Matrix", True),
        "Rs": (6, "Matrix", True),
        "mus": (7, "Vector", True),
        "subs": (8, "Matrix", True),
    },
}


def read_published(path: Path) -> Learnt:
    """Read what of a model the file holds, a part of it perhaps; ValueError where it is not a such file.

    A file with coarse centroids is given a projection that changes nothing, so what is `fit` around it, and searched
    with it, must be projected already.
    """
    params = _message_class()()
    try:
        params.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is not a LOPQModelParams message: {error}") from error
    try:
        centroids = np.stack([_matrix(each) for each in params.Cs]) if params.Cs else None
        rotations = _halves([_matrix(each) for each in params.Rs])
        means = _halves([np.asarray(each.values, np.float32) for each in params.mus])
        parts = _halves([_matrix(each) for each in params.subs])
    except ValueError as error:
        raise ValueError(f"{path} holds arrays that do not fit together: {error}") from error
    return Learnt(
        projection=None if centroids is None else _unchanged(2 * centroids.shape[2]),
        centroids=centroids,
        frames=None if means is None or rotations is None else (means, rotations),
        parts=parts,
    )


def write_published(model: LopqModel, path: Path) -> None:
    """Write a model for the published implementation, which must then be given `model.project(embeddings)`."""
    dimension = model.projection.shape[0]
    params = _message_class()(
        D=dimension, V=model.clusters, M=2 * model.parts.shape[1], num_subquantizers=model.parts.shape[2]
    )
    for field, arrays in ((params.Cs, model.centroids), (params.Rs, model.rotations), (params.subs, model.parts)):
        for array in arrays.reshape(-1, *arrays.shape[-2:]):
            field.add(values=array.ravel().tolist(), shape=array.shape)
    for mean in model.residual_means.reshape(-1, dimension // 2):
        params.mus.add(values=mean.tolist())
    path.write_bytes(params.SerializeToString())


def _matrix(message: Any) -> Floats:
    return np.asarray(message.values, np.float32).reshape(tuple(message.shape))


def _halves(arrays: Sequence[Floats]) -> Floats | None:
    """Those of the first half, then those of the second (n, ...), as one array (2, n/2, ...)."""
    return np.stack(arrays).reshape(2, len(arrays) // 2, *arrays[0].shape) if arrays else None


def _unchanged(dimension: int) -> tuple[Floats, Floats]:
    return np.zeros(dimension, np.float32), np.eye(dimension, dtype=np.float32)


@cache
def _message_class() -> Any:
    """The class of LOPQModelParams, made here because the format is another project's: it is not a contract of ours."""
    file = descriptor_pb2.FileDescriptorProto(name="lopq_model.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, is_repeated) in fields.items():
            described = message.field.add(
                name=field, number=number, label=_Field.LABEL_REPEATED if is_repeated else _Field.LABEL_OPTIONAL
            )
            if isinstance(kind, str):
                described.type, described.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                described.type = kind
            described.options.packed = kind == _Field.TYPE_FLOAT
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.LOPQModelParams"))
