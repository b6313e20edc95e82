"""Which bundles there are: those that ship, those imported into the data folder, those of folders that were named."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.failure import CommandFailed
from cli.paths import expanded
from encoders.bundle import DESCRIPTION_FILE, Bundle

SHIPPED = Path(__file__).resolve().parents[1] / "models"


def find_bundles(folders: Sequence[Path], *, verify: bool = False) -> list[Bundle]:
    """The bundles in these folders, each a bundle or a folder of bundles, by name; CommandFailed on a name used twice."""
    found: dict[str, Bundle] = {}
    for folder in bundle_folders(folders):
        bundle = Bundle.load(folder, verify=verify)
        known = found.setdefault(bundle.name, bundle)
        if known is not bundle:
            raise CommandFailed(f"two bundles are called {bundle.name}: {known.folder} and {folder}; rename one")
    return [found[name] for name in sorted(found)]


def bundle_folders(folders: Sequence[Path]) -> list[Path]:
    """The folders that hold a bundle, each once; CommandFailed for a named folder that does not exist."""
    return list(dict.fromkeys(found for folder in folders for found in _inside(expanded(folder))))


def _inside(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise CommandFailed(f"{folder} is not a folder: --models takes a bundle's folder or a folder of bundles")
    if (folder / DESCRIPTION_FILE).is_file():
        yield folder
        return
    yield from sorted(path.parent for path in folder.glob(f"*/{DESCRIPTION_FILE}"))
