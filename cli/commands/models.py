"""`fovea models`: the bundles on this machine, and new ones out of models that people have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.bundles import bundle_folders, bundle_sources, default_bundles, find_bundles
from cli.errors import CommandFailed
from cli.model_import import ImportOptions, import_model, import_model_pair, is_address, pull_model
from cli.options import Data, Json, Models, Wide, data_folder, expand_options, full_path
from cli.output import note, show, show_fitting, show_json, show_record
from cli.recipe import recipe_names
from encoders.bundle import DESCRIPTION_FILE, Bundle
from encoders.errors import BundleError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, check and import models.",
    epilog="Example: fovea models list",
)


@app.command("list", epilog="Example: fovea models list --models ~/bundles")
def list_all(*, wide: Wide = False, models: Models = None, data: Data = None, as_json: Json = False) -> None:
    """List the bundles that `fovea up` would serve."""
    bundles = find_bundles(bundle_sources(data_folder(data), models))
    defaults = default_bundles(bundles)
    others = [bundle for bundle in bundles if bundle not in defaults]
    rows = [_row(bundle) | {"is_default": bundle in defaults} for bundle in [*defaults, *others]]
    show_fitting(rows, wide=wide, as_json=as_json, empty="There is no model: import one with `fovea models import`.")


@app.command("show", epilog="Example: fovea models show general --json")
def show_one(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A bundle's name or folder.")],
    *,
    models: Models = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show everything that a bundle describes of itself."""
    bundle = _named(name, bundle_sources(data_folder(data), models))
    details = {
        "version": bundle.version,
        "precisions": ", ".join(bundle.precisions),
        "labels": ", ".join(bundle.labels),
        "trained_on": bundle.trained_on,
        "attribution": bundle.attribution,
        "gate": dict(bundle.gate),
    }
    show_record(_row(bundle) | details, as_json=as_json)


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
    folders = bundle_sources(data_folder(data), models)
    if names:
        bundles = [_named(name, folders) for name in names]
    else:
        bundles = [Bundle.load(folder, verify=False) for folder in bundle_folders(folders)]
    rows = [_verified(bundle) for bundle in bundles]
    show(rows, as_json=as_json, empty="There is no model to verify.")
    if any(row["verdict"] != "whole" for row in rows):
        raise typer.Exit(1)


@app.command("import", epilog="Example: fovea models import mobilenet.onnx --name mobilenet --spec spec.json")
@expand_options
def import_one(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An .onnx file, Darknet .weights, a checkpoint with its --network, a torchvision name.",
        ),
    ] = "",
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="What the bundle is called from now on.")],
    pair: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="IMAGE TEXT",
            help="In place of SOURCE: the .onnx files of an image and a text model of one space, or one file twice.",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The text model's tokenizer.json; default: the one beside it."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The state dict of a torchvision network; default: download.")
    ] = None,
    options: ImportOptions,
    as_json: Json = False,
) -> None:
    """Make a bundle out of a model that you have; `fovea up` serves it from the next start on."""
    if bool(source) == (pair is not None):
        raise CommandFailed("give one SOURCE, or an image and a text model with --pair IMAGE TEXT")
    bundles = (
        import_model_pair(pair, tokenizer, name, options) if pair else import_model(source, weights, name, options)
    )
    _announce(bundles, as_json=as_json)


@app.command("pull", epilog="Example: fovea models pull resnet50")
@expand_options
def pull_one(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|URL|RECIPE.json",
            help=f"{', '.join(recipe_names())}, ViT-B-16 (CLIP), yolov3, a torchvision network, a recipe's file, "
            "or the https address of a file that import takes.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call the bundle; default: as the network.")] = "",
    sha256: Annotated[str, typer.Option(metavar="HEX", help="The SHA-256 of the file at a URL; it must match.")] = "",
    options: ImportOptions,
    as_json: Json = False,
) -> None:
    """Download published weights and make a bundle of them."""
    if not name and (is_address(source) or source.endswith(".json")):
        raise CommandFailed("an address or a file is not a name for a bundle: give --name NAME")
    _announce(pull_model(source, sha256, name or source, options), as_json=as_json)


def _named(name: str, folders: Sequence[Path]) -> Bundle:
    """The bundle of this name or folder, unverified."""
    if (folder := full_path(Path(name))).joinpath(DESCRIPTION_FILE).is_file():
        return Bundle.load(folder, verify=False)
    bundles = {bundle.name: bundle for bundle in find_bundles(folders)}
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
        "is_default": bundle.is_default,
        "languages": ", ".join(bundle.languages),
        "domain": bundle.domain,
        "licence": bundle.licence,
        "purpose": bundle.purpose,
        "modalities": ", ".join(bundle.modalities),
        "kind": bundle.kind,
        "dimension": bundle.dimension,
        "space": bundle.space,
        "labels": len(bundle.labels),
        "size_mib": round(size / (1 << 20), 1),
        "folder": str(bundle.folder),
    }


def _announce(bundles: Sequence[Bundle], *, as_json: bool) -> None:
    """Print the new bundles, and what the importer found unlikely about their models."""
    warnings = {bundle.name: list(bundle.gate.get("warnings", ())) for bundle in bundles}
    if as_json:
        first, *siblings = (_row(bundle) | {"warnings": warnings[bundle.name]} for bundle in bundles)
        show_json(first | {"siblings": siblings})
        return
    for bundle in bundles:
        is_found = bundle.folder.parent == data_folder(None).models
        note(f"Wrote {bundle.folder}. `fovea up` serves it{'' if is_found else f' with --models {bundle.folder}'}.")
        for warning in warnings[bundle.name]:
            note(f"Warning: {warning}")
