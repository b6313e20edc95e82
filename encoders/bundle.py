"""The bundle: a folder with a model and everything that decides its embeddings, described by `bundle.json`."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from domain.calibration import Calibration
from domain.modality import Modality
from encoders.errors import BundleError, first_line

DESCRIPTION_FILE = "bundle.json"

Kind = Literal["image", "text", "sketch", "detector"]
Resize = Literal["squash", "shortest_crop", "letterbox"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
TextCleaning = Literal["clip", "known_case"]
Colour = tuple[int, int, int]
Fill = Colour | Literal["blur"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
# They are sent with every description of a process, and shown on one line.
_MAX_PURPOSE, _MAX_DOMAIN, _MAX_LANGUAGES = 200, 100, 200
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of the bundle's folder and the SHA-256 (64 hex digits) that its bytes must have."""

    file: str
    sha256: str

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file or self.file in {"", ".", ".."}:
            raise BundleError(f"{self.file!r} is not the plain name of a file in the bundle's own folder.")

    @classmethod
    def of(cls, path: Path) -> Self:
        """Describe the file as it is now."""
        return cls(file=path.name, sha256=_sha256(path))


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From an upright image to the model's uint8 input; scale, mean and std are inside the graph.

    `size` is (width, height) of the input. `shortest_crop` makes the shorter side `shorter_side_px` long (default: as
    long as the input's) and keeps the middle; `letterbox` keeps the whole image and pads it with `fill`: a colour, or
    "blur" for the image's own edges, blurred. `background` is what shows through transparent pixels.
    """

    size: tuple[int, int]
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"
    shorter_side_px: int | None = None
    fill: Fill = (128, 128, 128)
    background: Colour = (255, 255, 255)

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        if not all(0 < side_px <= 4096 for side_px in self.size):
            raise BundleError(f"The input size {self.size} is not between 1 and 4096 pixels a side.")
        if self.shorter_side_px is not None and self.shorter_side_px < max(self.size):
            raise BundleError(f"shorter_side_px is {self.shorter_side_px}, less than the crop {self.size} needs.")
        if self.fill == "blur" and self.resize != "letterbox":
            raise BundleError(f"Only a letterbox has bands to blur, but resize is {self.resize!r}.")


@dataclass(frozen=True, slots=True)
class Tower:
    """What decides the embeddings of one of the models that share a space: its reference file and its preprocessing."""

    model_sha256: str
    preprocessing: Preprocessing | None = None
    tokenizer_sha256: str = ""
    text_cleaning: TextCleaning | None = None


def space_of(dimension: int, *towers: Tower) -> str:
    """Name the space of embeddings that these towers share: 16 hex digits, the same in any order of towers."""
    deciding = [dataclasses.asdict(tower) for tower in towers]
    for tower in deciding:
        # Names of spaces are stored in collections, and those of towers without cleaning are older than the field.
        if tower["text_cleaning"] is None:
            del tower["text_cleaning"]
    parts = sorted(json.dumps(tower, sort_keys=True) for tower in deciding)
    return hashlib.sha256(json.dumps([dimension, "unit length", *parts]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One model that can be served.

    Inputs and outputs of its graph by kind:

        image, sketch  image uint8 (N, H, W, 3)                       embedding float32 (N, D) of unit length
        text           tokens int64 (N, T), lengths int64 (N)         embedding float32 (N, D) of unit length
        detector       image uint8 (N, H, W, 3)                       boxes float32 (N, K, 4), scores float32 (N, K, C)

    Boxes are x_min, y_min, x_max, y_max in normalized coordinates of the input; of those of one class that overlap more
    than `max_overlap` (intersection over union, default .45) the best is served. `text_cleaning` precedes the tokenizer.
    `purpose` says what it is for in one sentence, `domain` for which images it was made, `languages` (BCP 47 tags) which
    texts it reads or in which its labels are. `is_default` makes it the one that is used where none is named. `calibration`
    says how likely images are right that its queries find.
    """

    folder: Path
    name: str
    version: str
    kind: Kind
    precisions: Mapping[str, ModelFile]
    modalities: tuple[Modality, ...] = ()
    space: str = ""
    dimension: int = 0
    preprocessing: Preprocessing | None = None
    tokenizer: ModelFile | None = None
    max_tokens: int | None = None
    text_cleaning: TextCleaning | None = None
    max_batch: int | None = None
    max_overlap: float | None = None
    labels: tuple[str, ...] = ()
    purpose: str = ""
    domain: str = ""
    is_default: bool = False
    languages: tuple[str, ...] = ()
    licence: str = ""
    attribution: str = ""
    trained_on: str = ""
    gate: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        for problem, is_present in _problems(self).items():
            if is_present:
                raise BundleError(f"Bundle {self.name!r}: {problem}.")

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Read the folder's description; with `verify` every file must have its SHA-256 (cost: reading them all)."""
        path = folder / DESCRIPTION_FILE
        try:
            described = {**json.loads(path.read_bytes()), "folder": folder}
            bundle = TypeAdapter(cls).validate_python(described)
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError) as error:
            raise BundleError(f"{path} is not a bundle's description: {_problem_of(error)}.") from error
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error
        if verify:
            bundle.verify()
        return bundle

    def write(self, folder: Path) -> None:
        """Describe the files that already lie in `folder`; the description appears whole or not at all."""
        described = TypeAdapter(Bundle).dump_python(self, mode="json", exclude={"folder"})
        for model_file in self.files():
            if not (folder / model_file.file).is_file():
                raise BundleError(f"{folder / model_file.file} is missing; write the model before its description.")
        unfinished = folder / f".{DESCRIPTION_FILE}.new"
        unfinished.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        unfinished.replace(folder / DESCRIPTION_FILE)

    def files(self) -> tuple[ModelFile, ...]:
        """Every file of the bundle besides its description."""
        return (*self.precisions.values(), *((self.tokenizer,) if self.tokenizer else ()))

    def verify(self) -> None:
        """Raise `BundleError` naming the first file whose bytes differ from its description."""
        for model_file in self.files():
            path = self.folder / model_file.file
            try:
                found = _sha256(path)
            except OSError as error:
                raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
            if found != model_file.sha256:
                raise BundleError(f"{path} is damaged or was changed: its SHA-256 is {found}, not {model_file.sha256}.")

    @property
    def is_detector(self) -> bool:
        """Whether it finds objects; every other bundle embeds."""
        return self.kind == "detector"

    @property
    def image_preprocessing(self) -> Preprocessing:
        """How images are prepared; every bundle that is not for text has it."""
        assert self.preprocessing is not None, f"{self.name} reads no images"
        return self.preprocessing

    def path_of(self, precision: str) -> Path:
        """Where the model file of one precision lies."""
        if precision not in self.precisions:
            known = ", ".join(self.precisions)
            raise BundleError(f"Bundle {self.name!r} has no precision {precision!r}, only {known}.")
        return self.folder / self.precisions[precision].file


def _problems(bundle: Bundle) -> dict[str, bool]:
    embeds, reads_text = not bundle.is_detector, bundle.kind == "text"
    return {
        "its name must be 1 to 63 letters, digits, '_', '.' or '-'": not _NAME.fullmatch(bundle.name),
        "it has no model file": not bundle.precisions,
        "it needs modalities, a space and a dimension": embeds
        and not (bundle.modalities and bundle.space and bundle.dimension > 0),
        "a text bundle reads text and nothing else reads it": embeds and ("text" in bundle.modalities) != reads_text,
        "a text bundle needs a tokenizer and max_tokens": reads_text and not (bundle.tokenizer and bundle.max_tokens),
        "a bundle that reads images needs preprocessing": not reads_text and bundle.preprocessing is None,
        "a detector needs labels": not embeds and not bundle.labels,
        "max_overlap must be above 0 and at most 1": bundle.max_overlap is not None and not 0 < bundle.max_overlap <= 1,
        "max_batch must be at least 1": bundle.max_batch is not None and bundle.max_batch < 1,
        f"purpose must be one line of at most {_MAX_PURPOSE} characters": not _is_line(bundle.purpose, _MAX_PURPOSE),
        f"domain must be one line of at most {_MAX_DOMAIN} characters": not _is_line(bundle.domain, _MAX_DOMAIN),
        f"languages must be at most {_MAX_LANGUAGES} tags such as en or pt-BR": len(bundle.languages) > _MAX_LANGUAGES
        or not all(map(_LANGUAGE.fullmatch, bundle.languages)),
        "only a bundle that embeds images, or a detector, can be the default": bundle.is_default
        and embeds
        and "image" not in bundle.modalities,
    }


def _is_line(text: str, max_characters: int) -> bool:
    return len(text) <= max_characters and (text.isprintable() or not text)


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _problem_of(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return first_line(error)
