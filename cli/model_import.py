"""Bundles made of model files and published weights."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cli.download import WebFile
from cli.errors import CommandFailed
from cli.options import Data, data_folder, full_path
from cli.recipe import PairRecipe, find_recipe
from encoders.bundle import Bundle
from encoders.importers.apart import import_apart
from encoders.importers.darknet.detector import import_darknet
from encoders.importers.model_file import read_labels
from encoders.importers.onnx.detector import import_detector
from encoders.importers.onnx.detector_spec import DetectorSpec, image_or_detector
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.pair import PairFiles, import_pair
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.onnx.spec_file import read_spec
from encoders.importers.onnx.text_spec import PairSpec
from encoders.importers.torch_models import NETWORKS, import_published, import_torchvision

_CHECKPOINTS = (".pth", ".pt", ".tar", ".safetensors")
_DARKNET = "https://raw.githubusercontent.com/pjreddie/darknet/f6afaabcdf85f77e7aff2ec55c020c0e297c77f9"
_YOLO_CFG = WebFile(
    f"{_DARKNET}/cfg/yolov3.cfg",
    "22489ea38575dfa36c67a90048e8759576416a79d32dc11e15d2217777b9a953",
    max_bytes=2**16,
)
_YOLO_LABELS = WebFile(
    f"{_DARKNET}/data/coco.names",
    "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84",
    max_bytes=2**16,
)
_YOLO_WEIGHTS = WebFile(
    "https://pjreddie.com/media/files/yolov3.weights",
    "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
    max_bytes=248_007_048,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a model's file does not say of itself, and the folder that its bundle is put into."""

    network: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"What a checkpoint fits: {', '.join(NETWORKS)}, or a torchvision network."),
    ] = ""
    spec: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON that says how an ONNX model is fed and read.")
    ] = None
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Write an ONNX model in half precision too, which a GPU computes faster.")
    ] = False
    cfg: Annotated[Path | None, typer.Option(metavar="FILE", help="The .cfg of Darknet weights.")] = None
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Class names, one a line.")] = None
    letterbox: Annotated[
        bool | None,
        typer.Option(
            "--letterbox/--no-letterbox",
            help="Pad images for a Darknet network, or stretch them; default: as letter_box in its .cfg says.",
        ),
    ] = None
    words: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The word_to_index.pkl of a pedestrian checkpoint (dcmpl).")
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put the bundle's folder; default: the models of --data."),
    ] = None
    licence: Annotated[str, typer.Option(help="The model's licence, kept with it.")] = ""
    data: Data = None

    @property
    def folder(self) -> Path:
        """The folder of --out, or that of imported models."""
        return full_path(self.out) if self.out else data_folder(self.data).models


def import_model(source: str, weights: Path | None, name: str, options: ImportOptions) -> tuple[Bundle, ...]:
    """Make bundles of a file, or of a torchvision network with its `weights` or torchvision's own."""
    path = Path(source).expanduser()
    if path.suffix.lower() in {".onnx", ".weights", *_CHECKPOINTS} or path.exists() or options.network:
        return _import_file(path, name, options)
    return (_import_torchvision(source, weights, name, options),)


def import_model_pair(
    pair: tuple[Path, Path], tokenizer: Path | None, name: str, options: ImportOptions
) -> tuple[Bundle, ...]:
    """Make two bundles of one space of an image and a text model; the tokenizer lies beside the text model by default."""
    if options.spec is None:
        raise CommandFailed("a pair of ONNX models needs its spec: give --spec FILE")
    image, text = (path.expanduser() for path in pair)
    files = PairFiles(image=image, text=text, tokenizer=tokenizer or text.parent / "tokenizer.json")
    spec = read_spec(options.spec, PairSpec.of)
    return import_apart(
        import_pair, files, name=name, spec=spec, out=options.folder, licence=options.licence, fp16=options.fp16
    )


def pull_model(source: str, sha256: str, name: str, options: ImportOptions) -> tuple[Bundle, ...]:
    """Make bundles of a published network by name, or of a file at an address, which must have this SHA-256.

    `CommandFailed` or `BundleError` says in one line what is wrong; nothing is left behind then.
    """
    if is_address(source):
        file = WebFile(source, sha256.lower())
        with tempfile.TemporaryDirectory() as scratch:
            return _import_file(file.download(Path(scratch)), name, options)
    if sha256:
        raise CommandFailed(f"--sha256 is for addresses; {source} is published with a hash that is known")
    if recipe := find_recipe(source):
        return PairRecipe.read(recipe).pull(name, options.folder, licence=options.licence, fp16=options.fp16)
    match source:
        case "yolov3":
            return _pull_yolo(name, options)
        case "ViT-B-16":
            return import_apart(import_published, "clip", None, name=name, out=options.folder, licence=options.licence)
        case _:
            return (_import_torchvision(source, None, name, options),)


def is_address(source: str) -> bool:
    """Whether a source is an address rather than a name."""
    return "://" in source


def _pull_yolo(name: str, options: ImportOptions) -> tuple[Bundle, ...]:
    with tempfile.TemporaryDirectory() as scratch:
        cfg, labels, weights = (file.download(Path(scratch)) for file in (_YOLO_CFG, _YOLO_LABELS, _YOLO_WEIGHTS))
        # Its publishers' Darknet letterboxes; their .cfg does not say so.
        letterbox = options.letterbox is not False
        return _import_file(weights, name, replace(options, cfg=cfg, labels=labels, letterbox=letterbox))


def _import_file(path: Path, name: str, options: ImportOptions) -> tuple[Bundle, ...]:
    """Make bundles of a file by the network that it fits, or by its ending."""
    if options.fp16 and path.suffix.lower() != ".onnx":
        raise CommandFailed(f"--fp16 is for ONNX models, not for {path}: leave it out")
    if options.network in NETWORKS:
        return import_apart(
            import_published,
            options.network,
            path,
            name=name,
            out=options.folder,
            words=options.words,
            licence=options.licence,
        )
    if options.network:
        return (_import_torchvision(options.network, path, name, options),)
    match path.suffix.lower():
        case ".onnx":
            return (_import_onnx(path, name, options),)
        case ".weights":
            return (_import_darknet(path, name, options),)
        case ending if ending in _CHECKPOINTS:
            raise CommandFailed(
                f"say which network {path} fits: --network {'|'.join(NETWORKS)}, "
                f"or of torchvision: fovea models import resnet18 --weights {path} …"
            )
        case _:
            raise CommandFailed(
                f"{path} cannot be imported: it is neither .onnx nor Darknet .weights, "
                "nor a checkpoint with its --network"
            )


def _import_torchvision(network: str, weights: Path | None, name: str, options: ImportOptions) -> Bundle:
    """Make a bundle of a torchvision network; `weights` None downloads its published ones."""
    if options.fp16:
        raise CommandFailed("--fp16 is for ONNX models: leave it out")
    spec = ImageSpec.read(options.spec) if options.spec else None
    return import_apart(
        import_torchvision, network, weights=weights, spec=spec, name=name, out=options.folder, licence=options.licence
    )


def _import_onnx(path: Path, name: str, options: ImportOptions) -> Bundle:
    if options.spec is None:
        raise CommandFailed("an ONNX model needs its preprocessing: give --spec FILE")
    spec, labels = read_spec(options.spec, image_or_detector), read_labels(options.labels) if options.labels else ()
    if isinstance(spec, DetectorSpec):
        if not labels:
            raise CommandFailed("a detector needs the names of its classes: give --labels FILE")
        return import_apart(
            import_detector,
            path,
            spec=spec,
            labels=labels,
            name=name,
            out=options.folder,
            licence=options.licence,
            fp16=options.fp16,
        )
    return import_apart(
        import_onnx,
        path,
        spec=spec,
        labels=labels,
        name=name,
        out=options.folder,
        licence=options.licence,
        fp16=options.fp16,
    )


def _import_darknet(path: Path, name: str, options: ImportOptions) -> Bundle:
    if options.cfg is None:
        raise CommandFailed("Darknet weights need their network: give --cfg FILE")
    if options.labels is None:
        raise CommandFailed("a detector needs the names of its classes: give --labels FILE")
    return import_apart(
        import_darknet,
        path,
        cfg=options.cfg,
        labels=read_labels(options.labels),
        letterbox=options.letterbox,
        name=name,
        out=options.folder,
        licence=options.licence,
    )
