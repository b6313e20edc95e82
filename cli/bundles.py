"""The bundles on this machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.data_folder import DataFolder
from cli.errors import CommandFailed
from cli.options import full_path
from encoders.bundle import DESCRIPTION_FILE, Bundle

_SHIPPED = Path(__file__).resolve().parents[1] / "models"


def bundle_sources(data: DataFolder, models: Sequence[Path] | None = None, *, shipped: bool = True) -> list[Path]:
    """Where to look for bundles: among those that ship, those that were imported, and in the folders of --models."""
    standard = (_SHIPPED, data.models) if shipped else (data.models,)
    return [*(folder for folder in standard if folder.is_dir()), *(models or ())]


def find_bundles(folders: Sequence[Path], *, verify: bool = False) -> list[Bundle]:
    """The bundles in these folders, each a bundle or a folder of bundles, by name; CommandFailed on a name used twice."""
    found: dict[str, Bundle] = {}
    for folder in bundle_folders(folders):
        bundle = Bundle.load(folder, verify=verify)
        known = found.setdefault(bundle.name, bundle)
        if known is not bundle:
            raise CommandFailed(f"two bundles are called {bundle.name}: {known.folder} and {folder}; rename one")
    return [found[name] for name in sorted(found)]


def default_bundles(bundles: Sequence[Bundle]) -> list[Bundle]:
    """The default encoder and the default detector, as far as there are some: the first by name that says so."""
    firsts: dict[bool, Bundle] = {}
    for bundle in sorted(bundles, key=lambda bundle: bundle.name):
        if bundle.is_default:
            firsts.setdefault(bundle.is_detector, bundle)
    return [firsts[is_detector] for is_detector in sorted(firsts)]


def bundle_folders(folders: Sequence[Path]) -> list[Path]:
    """The folders that hold a bundle, each once; CommandFailed for a named folder that does not exist."""
    return list(dict.fromkeys(found for folder in folders for found in _inside(full_path(folder))))


def _inside(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise CommandFailed(f"{folder} is not a folder: --models takes a bundle's folder or a folder of bundles")
    if (folder / DESCRIPTION_FILE).is_file():
        yield folder
        return
    yield from sorted(path.parent for path in folder.glob(f"*/{DESCRIPTION_FILE}"))
