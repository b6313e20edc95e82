"""`fovea models`: the bundles on this machine, and new ones out of models that people have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.answers import note, show, show_fitting, show_json
from cli.bundles import SHIPPED, bundle_folders, find_bundles
from cli.failure import CommandFailed
from cli.importing import Told, import_model
from cli.options import Data, Json, Models, Wide, data_folder
from cli.paths import expanded
from cli.pulling import is_address, pull
from encoders.bundle import DESCRIPTION_FILE, Bundle
from encoders.errors import BundleError
from encoders.importers.torch_models import NETWORKS

NewName = Annotated[str, typer.Option(metavar="NAME", help="What the bundle is called from now on.")]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where to put the bundle's folder; default: the models of --data.")
]
Network = Annotated[
    str,
    typer.Option(metavar="NAME", help=f"What a checkpoint fits: {', '.join(NETWORKS)}, or a torchvision network."),
]
Spec = Annotated[Path | None, typer.Option(metavar="FILE", help="JSON that describes an ONNX model's preprocessing.")]
Cfg = Annotated[Path | None, typer.Option(metavar="FILE", help="The .cfg of Darknet weights.")]
Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="Class names, one a line.")]
Letterbox = Annotated[
    bool | None,
    typer.Option(
        "--letterbox/--no-letterbox",
        help="Pad images for a Darknet network, or stretch them; default: as letter_box in its .cfg says.",
    ),
]
Words = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The word_to_index.pkl of a pedestrian checkpoint (dcmpl).")
]
Licence = Annotated[str, typer.Option(help="The model's licence, kept with it.")]

app = typer.Typer(no_args_is_help=True, help="List, check and import models.")


@app.command("list", epilog="Example: fovea models list --models ~/bundles")
def list_all(*, wide: Wide = False, models: Models = None, data: Data = None, as_json: Json = False) -> None:
    """List the bundles that `fovea up` would serve."""
    bundles = find_bundles(_places(models, data))
    show_fitting(
        [_row(bundle) for bundle in bundles],
        wide=wide,
        as_json=as_json,
        empty="There is no model: import one with `fovea models import`.",
    )


@app.command("show", epilog="Example: fovea models show general --json")
def show_one(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A bundle's name or folder.")],
    *,
    models: Models = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show everything that a bundle says of itself."""
    bundle = _chosen([name], models, data)[0]
    described = _row(bundle) | _details(bundle)
    if as_json:
        show_json(described)
    else:
        show([{"": name.replace("_", " "), " ": value} for name, value in described.items()], as_json=False)


@app.command(epilog="Example: fovea models verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|DIR…]", help="Bundles by name or folder; default: all.")
    ] = None,
    *,
    models: Models = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Compare every file of the bundles with its SHA-256."""
    rows = [_verified(bundle) for bundle in _chosen(names or [], models, data)]
    show(rows, as_json=as_json, empty="There is no model to verify.")
    if any(row["verdict"] != "whole" for row in rows):
        raise typer.Exit(1)


@app.command("import", epilog="Example: fovea models import mobilenet.onnx --name mobilenet --spec spec.json")
def import_one(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An .onnx file, Darknet .weights, a checkpoint with its --network, a torchvision name.",
        ),
    ],
    *,
    name: NewName,
    network: Network = "",
    spec: Spec = None,
    cfg: Cfg = None,
    labels: Labels = None,
    letterbox: Letterbox = None,
    words: Words = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The state dict of a torchvision network; default: download.")
    ] = None,
    out: Out = None,
    licence: Licence = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a bundle out of a model that you have; `fovea up` serves it from the next start on."""
    told = Told(
        name=name,
        out=_new_place(out, data),
        network=network,
        spec=spec,
        cfg=cfg,
        labels=labels,
        letterbox=letterbox,
        words=words,
        licence=licence,
    )
    _announce(import_model(source, weights, told), as_json=as_json)


@app.command("pull", epilog="Example: fovea models pull resnet50")
def pull_one(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|URL",
            help="A torchvision network, ViT-B-16 (CLIP), yolov3, or the https address of a file that import takes.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call the bundle; default: as the network.")] = "",
    sha256: Annotated[str, typer.Option(metavar="HEX", help="The SHA-256 of the file at a URL; it must match.")] = "",
    network: Network = "",
    spec: Spec = None,
    cfg: Cfg = None,
    labels: Labels = None,
    letterbox: Letterbox = None,
    words: Words = None,
    out: Out = None,
    licence: Licence = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Download published weights and make a bundle of them."""
    told = Told(
        name=name or _name_of(source),
        out=_new_place(out, data),
        network=network,
        spec=spec,
        cfg=cfg,
        labels=labels,
        letterbox=letterbox,
        words=words,
        licence=licence,
    )
    _announce(pull(source, sha256, told), as_json=as_json)


def _places(models: Sequence[Path] | None, data: Path | None) -> list[Path]:
    places = [SHIPPED, data_folder(data).models]
    return [*(place for place in places if place.is_dir()), *(models or ())]


def _new_place(out: Path | None, data: Path | None) -> Path:
    return expanded(out) if out else data_folder(data).models


def _name_of(source: str) -> str:
    if is_address(source):
        raise CommandFailed("an address is no name for a bundle: give --name NAME")
    return source


def _chosen(names: Sequence[str], models: Sequence[Path] | None, data: Path | None) -> list[Bundle]:
    """The bundles of these names or folders, unverified; all that are known for no name."""
    places = _places(models, data)
    if not names:
        return [Bundle.load(folder, verify=False) for folder in bundle_folders(places)]
    return [_named(name, places) for name in names]


def _named(name: str, places: Sequence[Path]) -> Bundle:
    if (folder := expanded(Path(name))).joinpath(DESCRIPTION_FILE).is_file():
        return Bundle.load(folder, verify=False)
    bundles = {bundle.name: bundle for bundle in find_bundles(places)}
    if name not in bundles:
        raise CommandFailed(f"there is no bundle {name}; there are: {', '.join(bundles) or 'none'}")
    return bundles[name]


def _verified(bundle: Bundle) -> dict[str, str]:
    try:
        bundle.verify()
    except BundleError as error:
        return {"name": bundle.name, "verdict": "damaged", "why": str(error)}
    return {"name": bundle.name, "verdict": "whole", "why": ""}


def _row(bundle: Bundle) -> dict[str, Any]:
    size = sum((bundle.folder / model_file.file).stat().st_size for model_file in bundle.files())
    return {
        "name": bundle.name,
        "kind": bundle.kind,
        "modalities": ", ".join(bundle.modalities),
        "dimension": bundle.dimension,
        "space": bundle.space,
        "labels": len(bundle.labels),
        "size_mib": round(size / (1 << 20), 1),
        "licence": bundle.licence,
        "folder": str(bundle.folder),
    }


def _details(bundle: Bundle) -> dict[str, Any]:
    return {
        "version": bundle.version,
        "precisions": ", ".join(bundle.precisions),
        "labels": ", ".join(bundle.labels),
        "trained_on": bundle.trained_on,
        "attribution": bundle.attribution,
        "gate": dict(bundle.gate),
    }


def _announce(bundles: Sequence[Bundle], *, as_json: bool) -> None:
    if as_json:
        first, *siblings = (_row(bundle) | {"warnings": _warnings(bundle)} for bundle in bundles)
        show_json({**first, "siblings": siblings})
        return
    for bundle in bundles:
        where = "" if _is_default(bundle) else f" with --models {bundle.folder}"
        note(f"Wrote {bundle.folder}. `fovea up` serves it{where}.")
        for warning in _warnings(bundle):
            note(f"Warning: {warning}")


def _warnings(bundle: Bundle) -> list[str]:
    """What the importer found unlikely about the model."""
    return list(bundle.gate.get("warnings", ()))


def _is_default(bundle: Bundle) -> bool:
    return bundle.folder.parent == data_folder(None).models
