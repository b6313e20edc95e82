"""Owns the fitting of a published `.cfg` to another dataset: its classes and its input size."""

from encoders.importers.darknet.sections import Section, parse_sections


def fitted_cfg(text: str, *, class_count: int, size_px: int) -> str:
    """The same network for so many classes and a square input; BundleError where a head cannot be changed.

    Each `[yolo]` gets its classes, and the convolution before it a filter for every number that the head then reads.
    """
    lines, sections = text.splitlines(), parse_sections(text)
    for section, before in zip(sections, [None, *sections], strict=False):
        if section.kind in {"net", "network"}:
            _set(lines, section, "width", size_px)
            _set(lines, section, "height", size_px)
        elif section.kind == "yolo":
            if before is None or before.kind not in {"convolutional", "conv"}:
                raise section.wrong("no convolution stands before this head")
            anchors = len(section.integers("mask")) if "mask" in section else len(section.integers("anchors")) // 2
            _set(lines, section, "classes", class_count)
            _set(lines, before, "filters", anchors * (5 + class_count))
    return "\n".join(lines) + "\n"


def _set(lines: list[str], section: Section, key: str, value: int) -> None:
    if key not in section:
        raise section.wrong(f"{key} is missing")
    line, _ = section.options[key]
    lines[line - 1] = f"{key}={value}"
