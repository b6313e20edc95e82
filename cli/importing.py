"""Which importer reads a model that somebody has, and what it must be told."""

from dataclasses import dataclass
from pathlib import Path

from cli.failure import CommandFailed
from encoders.bundle import Bundle
from encoders.importers.darknet.detector import import_darknet
from encoders.importers.model_file import read_labels
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.torch_models import NETWORKS, import_published, import_torchvision

_CHECKPOINTS = (".pth", ".pt", ".tar", ".safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a model's file does not say of itself, and where its bundle goes: `out/name`."""

    name: str
    out: Path
    network: str = ""
    spec: Path | None = None
    cfg: Path | None = None
    labels: Path | None = None
    words: Path | None = None
    letterbox: bool | None = None
    licence: str = ""


def import_model(source: str, weights: Path | None, told: Told) -> tuple[Bundle, ...]:
    """Make bundles of a file, or of a torchvision network with its `weights` or torchvision's own."""
    path = Path(source).expanduser()
    if path.suffix.lower() in {".onnx", ".weights", *_CHECKPOINTS} or path.exists() or told.network:
        return import_file(path, told)
    return (import_network(source, weights, told),)


def import_file(path: Path, told: Told) -> tuple[Bundle, ...]:
    """Make bundles of a file by the network that it was told to fit, or by its ending."""
    if told.network in NETWORKS:
        return import_published(
            told.network, path, name=told.name, out=told.out, words=told.words, licence=told.licence
        )
    if told.network:
        return (import_network(told.network, path, told),)
    match path.suffix.lower():
        case ".onnx":
            return (_import_onnx(path, told),)
        case ".weights":
            return (_import_darknet(path, told),)
        case ending if ending in _CHECKPOINTS:
            raise CommandFailed(
                f"say which network {path} fits: --network {'|'.join(NETWORKS)}, "
                f"or of torchvision: fovea models import resnet18 --weights {path} …"
            )
        case _:
            raise CommandFailed(
                f"{path} is no model that can be imported: neither .onnx nor Darknet .weights, "
                "nor a checkpoint with its --network"
            )


def import_network(network: str, weights: Path | None, told: Told) -> Bundle:
    """Make a bundle of a torchvision network; `weights` None downloads its published ones."""
    spec = ImageSpec.read(told.spec) if told.spec else None
    return import_torchvision(network, weights=weights, spec=spec, name=told.name, out=told.out, licence=told.licence)


def _import_onnx(path: Path, told: Told) -> Bundle:
    if told.spec is None:
        raise CommandFailed("an ONNX model needs its preprocessing: give --spec FILE")
    labels = read_labels(told.labels) if told.labels else ()
    spec = ImageSpec.read(told.spec)
    return import_onnx(path, spec=spec, labels=labels, name=told.name, out=told.out, licence=told.licence)


def _import_darknet(path: Path, told: Told) -> Bundle:
    if told.cfg is None:
        raise CommandFailed("Darknet weights need their network: give --cfg FILE")
    if told.labels is None:
        raise CommandFailed("a detector needs the names of its classes: give --labels FILE")
    labels = read_labels(told.labels)
    return import_darknet(
        path,
        cfg=told.cfg,
        labels=labels,
        letterbox=told.letterbox,
        name=told.name,
        out=told.out,
        licence=told.licence,
    )
