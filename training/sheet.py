"""Owns the sheet of sample answers: each query on the left, its hits beside it, right ones framed green, wrong ones red."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

Shown = str | Image.Image | tuple[str, Image.Image]

WIDTH_PX = 1200
MOST_BYTES = 200_000
QUERY_PX, ROW_PX = 250, 176
MARGIN_PX, GAP_PX, FRAME_PX = 20, 12, 5
FONT_PX, LINE_PX = 17, 23

PAPER, INK, RULE = (255, 255, 255), (38, 42, 52), (224, 227, 232)
RIGHT, WRONG = (38, 152, 88), (212, 58, 52)


@dataclass(frozen=True, slots=True)
class Row:
    """A query, in words, as an image or both, and its hits, best first, each with whether it is right."""

    query: Shown
    hits: Sequence[tuple[Image.Image, bool]]


def write_sheet(rows: Sequence[Row], path: Path) -> None:
    """Write a JPEG of 1200 pixels' width and at most 200 kB; the more rows, the coarser."""
    sheet = Image.new("RGB", (WIDTH_PX, 2 * MARGIN_PX + len(rows) * (ROW_PX + GAP_PX) - GAP_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = MARGIN_PX + number * (ROW_PX + GAP_PX)
        if number:
            rule = top - GAP_PX // 2
            pen.line((MARGIN_PX, rule, WIDTH_PX - MARGIN_PX, rule), fill=RULE)
        _paint_query(sheet, row.query, top)
        _paint_hits(sheet, row.hits, top)
    path.write_bytes(_jpeg(sheet))


def _paint_query(sheet: Image.Image, query: Shown, top: int) -> None:
    text, image = query if isinstance(query, tuple) else (query, None) if isinstance(query, str) else ("", query)
    lines = _wrapped(text, QUERY_PX)
    room = ROW_PX - len(lines) * LINE_PX - (GAP_PX // 2 if lines else 0)
    if image is None:
        below = top + (ROW_PX - len(lines) * LINE_PX) // 2
    else:
        shown = _fitted(image, (QUERY_PX, max(room, LINE_PX)))
        sheet.paste(shown, (MARGIN_PX, top + (room - shown.height) // 2))
        below = top + ROW_PX - len(lines) * LINE_PX
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for number, line in enumerate(lines):
        pen.text((MARGIN_PX, below + number * LINE_PX), line, INK, font)


def _paint_hits(sheet: Image.Image, hits: Sequence[tuple[Image.Image, bool]], top: int) -> None:
    left = MARGIN_PX + QUERY_PX + 2 * GAP_PX
    room = (WIDTH_PX - MARGIN_PX - left + GAP_PX) // max(len(hits), 1) - GAP_PX
    pen = ImageDraw.Draw(sheet)
    for position, (image, is_right) in enumerate(hits):
        shown = _fitted(image, (room - 2 * FRAME_PX, ROW_PX - 2 * FRAME_PX))
        x = left + position * (room + GAP_PX) + (room - shown.width) // 2
        y = top + (ROW_PX - shown.height) // 2
        corners = (x - FRAME_PX, y - FRAME_PX, x + shown.width + FRAME_PX - 1, y + shown.height + FRAME_PX - 1)
        pen.rounded_rectangle(corners, FRAME_PX, RIGHT if is_right else WRONG)
        sheet.paste(shown, (x, y))


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.contain(image.convert("RGB"), size, Image.Resampling.LANCZOS)


def _wrapped(text: str, width_px: int) -> list[str]:
    """Lines of whole words; the last one that fits ends in an ellipsis where there are more."""
    font, lines = ImageFont.load_default(FONT_PX), list[str]()
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    most = ROW_PX // LINE_PX
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} …"]


def _jpeg(sheet: Image.Image) -> bytes:
    """As good as fits."""
    encoded = b""
    for quality in range(90, 20, -8):
        written = io.BytesIO()
        sheet.save(written, "JPEG", quality=quality, optimize=True)
        encoded = written.getvalue()
        if len(encoded) <= MOST_BYTES:
            break
    return encoded
