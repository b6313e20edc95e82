"""Recipes: where the files of a published pair of models are on the web, their SHA-256, and how they are imported."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from cli.download import MAX_BYTES, WebFile
from cli.errors import CommandFailed
from encoders.bundle import Bundle
from encoders.importers.apart import import_apart
from encoders.importers.model_file import read_text_file
from encoders.importers.onnx.pair import PairFiles, import_pair
from encoders.importers.onnx.text_spec import PairSpec

_SHIPPED = Path(__file__).parent / "recipes"
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """An address, the SHA-256 of the file there and how many bytes it has."""

    url: str
    sha256: str
    bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class _RecipeFiles:
    image: RecipeFile
    text: RecipeFile
    tokenizer: RecipeFile

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class PairRecipe:
    """The files of an image and a text model of one space, and their spec."""

    files: _RecipeFiles
    spec: Mapping[str, Any]
    licence: str = ""
    attribution: str = ""
    languages: tuple[str, ...] = field(default_factory=tuple)

    __pydantic_config__ = _STRICT

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a recipe's file; `CommandFailed` names the key that is wrong."""
        try:
            return TypeAdapter(cls).validate_json(read_text_file(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CommandFailed(f"{path} is not a recipe: {f'{where}: ' if where else ''}{first['msg']}") from error

    def pull(self, name: str, out: Path, *, licence: str = "", fp16: bool = False) -> tuple[Bundle, ...]:
        """Download the files and make two bundles of them; the files do not stay."""
        spec = PairSpec.of(self.spec)
        with tempfile.TemporaryDirectory() as scratch:
            found: dict[str, Path] = {}
            for key, file in (
                ("image", self.files.image),
                ("text", self.files.text),
                ("tokenizer", self.files.tokenizer),
            ):
                if file.url not in found:  # one file may hold both models
                    folder = Path(scratch) / key
                    folder.mkdir()
                    found[file.url] = WebFile(file.url, file.sha256.lower(), file.bytes).download(folder)
            files = PairFiles(
                image=found[self.files.image.url],
                text=found[self.files.text.url],
                tokenizer=found[self.files.tokenizer.url],
            )
            return import_apart(
                import_pair,
                files,
                name=name,
                spec=spec,
                out=out,
                licence=licence or self.licence,
                attribution=self.attribution,
                languages=self.languages,
                fp16=fp16,
            )


def recipe_names() -> list[str]:
    """The recipes that ship."""
    return sorted(path.stem for path in _SHIPPED.glob("*.json"))


def find_recipe(source: str) -> Path | None:
    """The file of a recipe by its name, or the recipe's own file, or nothing where `source` is neither."""
    if source in recipe_names():
        return _SHIPPED / f"{source}.json"
    path = Path(source).expanduser()
    return path if path.suffix == ".json" else None
