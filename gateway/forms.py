"""Forms: multipart and urlencoded bodies as fields and files, with their parts counted before they are parsed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException

from rpc.errors import InvalidArgument

MULTIPART_TYPE = "multipart/form-data"
URLENCODED_TYPE = "application/x-www-form-urlencoded"

_MAX_FIELDS = 64
_MAX_FIELD_BYTES = 1 << 20
_MAX_HEAD_BYTES = 8 << 10


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form: the field's name, the file's own name and its bytes."""

    field: str
    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """A form's texts by their field, and its files in their order."""

    fields: Mapping[str, str]
    files: Sequence[FormFile]

    def file(self, field: str) -> bytes | None:
        """The bytes of the one file under this field; None where there is none."""
        if field in self.fields:
            raise InvalidArgument(f"{field}: send the picture as a file of the form, not as text")
        found = [each.data for each in self.files if each.field == field]
        if len(found) > 1:
            raise InvalidArgument(f"{field}: a form takes one; send JSON with parts to combine several")
        return found[0] if found else None


def parse_form(body: bytes, content_type: str, *, max_files: int) -> Form:
    """The form in a body. A field that was left empty is absent; each text field comes once, as UTF-8."""
    kind, options = parse_options_header(content_type)
    if kind == URLENCODED_TYPE.encode():
        return Form(_unique(_parse_urlencoded(body)), ())
    if kind != MULTIPART_TYPE.encode():
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the form as {MULTIPART_TYPE}")
    parts = list(_parse_multipart(body, options.get(b"boundary", b""), max_files + _MAX_FIELDS))
    files = [part for part in parts if isinstance(part, FormFile)]
    if len(files) > max_files:
        raise InvalidArgument(f"the form has more than {max_files} files; send fewer at once")
    # A browser sends a file field that nothing was chosen for as an empty file without a name.
    return Form(
        _unique([part for part in parts if not isinstance(part, FormFile)]),
        [file for file in files if file.filename or file.data],
    )


def _unique(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidArgument(f"{name}: a form takes one; this one has several")
        if value:
            fields[name] = value
    return fields


def _parse_urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidArgument(f"the form cannot be read: send UTF-8 with at most {_MAX_FIELDS} fields") from error


def _parse_multipart(body: bytes, boundary: bytes, max_parts: int) -> Iterator[FormFile | tuple[str, str]]:
    """The parts of RFC 2046: each begins with a delimiter line, and a last one closes the form."""
    if not boundary:
        raise InvalidArgument("the form cannot be read: its content type names no boundary")
    delimiter = b"\r\n--" + boundary
    if body.count(delimiter) > max_parts + 1:
        raise InvalidArgument(f"the form has more than {max_parts} parts; send fewer at once")
    # The first delimiter may stand at the very beginning, where no line ends before it.
    begin = len(delimiter) - 2 if body.startswith(delimiter[2:]) else _next(body, delimiter, 0) + len(delimiter)
    while not body.startswith(b"--", begin):
        end = _next(body, delimiter, begin)
        yield _part(body, begin, end)
        begin = end + len(delimiter)


def _next(body: bytes, delimiter: bytes, start: int) -> int:
    found = body.find(delimiter, start)
    if found < 0:
        raise InvalidArgument("the form cannot be read: its last boundary is missing")
    return found


def _part(body: bytes, begin: int, end: int) -> FormFile | tuple[str, str]:
    """The part between two delimiters: a head, a blank line and the content."""
    blank = body.find(b"\r\n\r\n", begin, min(end, begin + _MAX_HEAD_BYTES))
    if blank < 0:
        raise InvalidArgument(f"the form cannot be read: a part has no head of at most {_MAX_HEAD_BYTES:,} bytes")
    options = _disposition(body[begin:blank])
    name = _text(options.get(b"name", b""), "a field's name")
    if not name:
        raise InvalidArgument("the form cannot be read: the Content-Disposition of a part names no field")
    content = body[blank + 4 : end]
    if b"filename" in options:
        return FormFile(name, _text(options[b"filename"], "a file's name"), content)
    if len(content) > _MAX_FIELD_BYTES:
        raise InvalidArgument(f"{name}: a text field holds at most {_MAX_FIELD_BYTES >> 20} MiB")
    return name, _text(content, name)


def _disposition(head: bytes) -> dict[bytes, bytes]:
    for line in head.split(b"\r\n"):
        header, _, value = line.partition(b":")
        if header.strip().lower() == b"content-disposition":
            return parse_options_header(value.strip().decode("latin-1"))[1]
    return {}


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{name}: the text is not UTF-8") from error
