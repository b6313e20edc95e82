"""What `fovea ingest` is pointed at: folders, which are scanned, and files that are named one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.errors import CommandFailed
from sources.file_groups import FilesByReason
from sources.formats import is_supported, why_unsupported
from sources.scan import FolderScan


@dataclass(slots=True)
class IngestSources:
    """The images of some folders and files, each once, and what is left out; `scans` are finished."""

    files: dict[str, None] = field(default_factory=dict)
    scans: list[FolderScan] = field(default_factory=list)
    _unsupported: FilesByReason = field(default_factory=FilesByReason)

    @classmethod
    def found_at(cls, paths: Iterable[str], *, exclude: Sequence[str], missing_ok: bool = False) -> "IngestSources":
        """Look at all of them; raises SourceError for a path that is neither a file nor a folder, unless `missing_ok`."""
        sources = cls()
        for path in paths:
            if Path(path).is_file():
                sources._add_file(path)
            else:
                scan = FolderScan(path, exclude=exclude, missing_ok=missing_ok)
                sources.files.update(dict.fromkeys(scan))
                sources.scans.append(scan)
        return sources

    @property
    def left_out(self) -> FilesByReason:
        """What is not taken, by reason."""
        return FilesByReason.of(
            group for files in (self._unsupported, *(scan.left_out for scan in self.scans)) for group in files.listed()
        )

    def require_images(self, *, prune: bool) -> None:
        """CommandFailed where there is nothing to ingest; says why."""
        if self.files:
            return
        left_out = "; ".join(f"{group.count:,} left out: {group.reason}" for group in self.left_out.listed())
        where = " and ".join(scan.folder for scan in self.scans) or "these files"
        nothing = f"there are no images in {where}" + (f" ({left_out})" if left_out else "")
        hint = "; an unmounted disk looks the same, so nothing is pruned without --prune-empty"
        raise CommandFailed(nothing + hint if prune else nothing)

    def _add_file(self, path: str) -> None:
        if is_supported(path):
            self.files[path] = None
        else:
            self._unsupported.add(path, why_unsupported(path))
