"""Form bodies: multipart and urlencoded, as fields and files.

Starlette's own parser decodes fields with the codec that a caller names, writes large files to disk and takes a form
whose last boundary is missing. This one knows UTF-8 only (RFC 7578), cuts the parts out of the body, which is in memory
already, and counts them before it reads any.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.multipart import parse_options_header

from gateway.bodies.json_body import off_loop, unsupported
from rpc.errors import InvalidArgument

MULTIPART_TYPE = "multipart/form-data"
URLENCODED_TYPE = "application/x-www-form-urlencoded"

_MAX_FIELDS = 64
_MAX_FIELD_BYTES = 1 << 20
_MAX_HEADER_BYTES = 8 << 10


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form: the field's name, the file's own name and its bytes."""

    field: str
    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """A form's text fields by name, and its files in their order."""

    fields: Mapping[str, str]
    files: Sequence[FormFile]

    def file(self, field: str) -> bytes | None:
        """The bytes of this field's only file; None where there is none."""
        if field in self.fields:
            raise InvalidArgument(f"{field}: send the image as a file of the form, not as text")
        found = [each.data for each in self.files if each.field == field]
        if len(found) > 1:
            raise InvalidArgument(f"{field}: a form takes one; send JSON with parts to combine several")
        return found[0] if found else None


async def read_form(request: Request, *, max_files: int) -> Form:
    """The form in the request's body; raises InvalidArgument."""
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    return await off_loop(lambda: parse_form(body, content_type, max_files=max_files), len(body))


def parse_form(body: bytes, content_type: str, *, max_files: int) -> Form:
    """The form in a body: empty fields are left out; raises InvalidArgument where a text field comes twice."""
    kind, options = parse_options_header(content_type)
    if kind == URLENCODED_TYPE.encode():
        return Form(_unique(_parse_urlencoded(body)), ())
    if kind != MULTIPART_TYPE.encode():
        raise unsupported(f"send the form as {MULTIPART_TYPE}")
    parts = list(_parse_multipart(body, options.get(b"boundary", b""), max_files + _MAX_FIELDS))
    files = [part for part in parts if isinstance(part, FormFile)]
    if len(files) > max_files:
        raise InvalidArgument(f"the form has more than {max_files} files; send fewer at once")
    # For a file field without a choice browsers send an empty file without a name.
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
    """The parts of a body as RFC 2046 delimits them."""
    if not boundary:
        raise InvalidArgument("the form cannot be read: its content type names no boundary")
    delimiter = b"\r\n--" + boundary
    if body.count(delimiter) > max_parts + 1:
        raise InvalidArgument(f"the form has more than {max_parts} parts; send fewer at once")
    # The first delimiter may be at the start of the body, without the line break before it.
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
    """The part between two delimiters: headers, a blank line and the content."""
    blank = body.find(b"\r\n\r\n", begin, min(end, begin + _MAX_HEADER_BYTES))
    if blank < 0:
        raise InvalidArgument(f"the form cannot be read: a part has no head of at most {_MAX_HEADER_BYTES:,} bytes")
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
