"""Owns a car's face and tail: grille, lamps, badge, bumper and plate, laid on the body's curved surfaces."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from world.car_body import CarBody, Surface
from world.car_shapes import Flat, badge, bars, bent, ellipse, fog, grille, grown, intake, lamp, span
from world.car_view import Layer
from world.palette import Colour, darker, lighter, mix

CHROME: Colour = (208, 212, 218)
BLACK: Colour = (24, 25, 29)
SHADE: Colour = (40, 42, 48)
LENS: Colour = (196, 204, 212)
SMOKE: Colour = (58, 64, 74)
SHINING: Colour = (255, 252, 236)
RED: Colour = (172, 24, 30)
PLATES: tuple[Colour, ...] = ((38, 74, 166), (240, 240, 236), (236, 196, 60))


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Collects outlines on one surface of the car, to be painted in their order; what glows stays out of the shade."""

    surface: Surface
    outlines: list[Flat] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    glowing: list[int] = field(default_factory=list)

    def add(self, outlines: Iterable[Flat], colour: Colour, *, is_glowing: bool = False) -> None:
        for outline in outlines:
            if is_glowing:
                self.glowing.append(len(self.outlines))
            self.outlines.append(bent(outline) if len(outline) < 10 else outline)
            self.colours.append(colour)

    def add_twice(self, outlines: Iterable[Flat], colour: Colour, *, is_glowing: bool = False) -> None:
        """On both sides of the car."""
        for outline in outlines:
            self.add((outline, outline * (-1, 1)), colour, is_glowing=is_glowing)

    def layer(self) -> Layer:
        """Everything, laid on the surface."""
        flat = np.concatenate(self.outlines)
        ends = np.cumsum([len(outline) for outline in self.outlines])[:-1]
        polygons = np.split(self.surface(flat[:, 0], flat[:, 1]), ends)
        return Layer(polygons, self.colours, glowing=frozenset(self.glowing))


def draw_face(body: CarBody, paint: Colour, plate: Colour, *, is_lit: bool, is_plate_blank: bool) -> Layer:
    """Everything on the front, in the order of drawing."""
    drawing = Drawing(body.front)
    _bumper(drawing, body, paint)
    _grille(drawing, body)
    _lamps(drawing, body, is_lit=is_lit)
    _fogs(drawing, body, is_lit=is_lit)
    _plate(drawing, plate, 0.4 if body.model.grille_foot > 0.52 else 0.27, is_blank=is_plate_blank)
    return drawing.layer()


def draw_tail(body: CarBody, paint: Colour, plate: Colour, *, is_lit: bool, is_plate_blank: bool) -> Layer:
    """Everything on the back, in the order of drawing."""
    drawing = Drawing(body.rear)
    model, red = body.model, (235, 40, 44) if is_lit else RED
    drawing.add([_box(-0.97, 0.0, 0.97, 0.2 if model.is_cladded else 0.09)], SHADE)
    drawing.add([_box(-0.9, 0.36, 0.9, 0.375)], darker(paint, 0.45))
    drawing.add_twice([_box(0.5, 0.05, 0.66, 0.1)], CHROME)
    low, high = 0.58 + 0.3 * (model.lamp_foot - 0.6), 0.9
    outer = {
        "corner": [_box(0.6, low, 0.99, high)],
        "bar": [_box(0.0, high - 0.14, 0.98, high)],
        "upright": [_box(0.78, low - 0.14, 0.97, 0.98)],
        "round": [ellipse(0.78, (low + high) / 2, 0.14, 0.13), ellipse(0.5, (low + high) / 2, 0.1, 0.1)],
        "wedge": [np.array([(0.5, high - 0.05), (0.98, high), (0.98, low), (0.8, low + 0.02)])],
    }[model.make.tail]
    for outline in outer:
        drawing.add_twice([grown(outline, 0.02)], darker(red, 0.6))
        drawing.add_twice([outline], red, is_glowing=is_lit)
        drawing.add_twice([grown(outline, -0.05)], lighter(red, 0.25), is_glowing=is_lit)
    _badge(drawing, body, 0.0, 0.8)
    _plate(drawing, plate, 0.55 if model.body != "van" else 0.3, is_blank=is_plate_blank)
    return drawing.layer()


def _bumper(drawing: Drawing, body: CarBody, paint: Colour) -> None:
    model = body.model
    drawing.add([_box(-0.98, 0.0, 0.98, 0.2 if model.is_cladded else 0.055)], SHADE)
    half, foot, top = model.intake_width, 0.07, 0.07 + model.intake_height
    top = min(top, model.grille_foot - 0.03)
    for outline in intake(model.intake):
        opening = outline * (half, top - foot) + (0, foot)
        drawing.add([grown(opening, 0.014)], darker(paint, 0.4))
        drawing.add([opening], BLACK)
        drawing.add(bars(opening, 3, 0.22, axis=1), SHADE)


def _grille(drawing: Drawing, body: CarBody) -> None:
    model, make = body.model, body.model.make
    rim = CHROME if make.is_chrome else SHADE
    line = CHROME if make.is_chrome else (74, 78, 86)
    size = (model.grille_width, model.grille_top - model.grille_foot)
    for outline in grille(make.grille):
        opening = outline * size + (0, model.grille_foot)
        drawing.add([grown(opening, 0.022)], rim)
        drawing.add([opening], BLACK)
        match make.filling:
            case "bars":
                drawing.add(bars(opening, model.lines, 0.34, axis=1), line)
            case "blades":
                drawing.add(bars(opening, max(2, model.lines // 2), 0.52, axis=1), line)
            case "ribs":
                drawing.add(bars(opening, model.lines * 2, 0.36, axis=0), line)
            case "mesh":
                drawing.add(bars(opening, model.lines, 0.2, axis=1), mix(line, BLACK, 0.35))
                drawing.add(bars(opening, model.lines * 2, 0.2, axis=0), mix(line, BLACK, 0.35))
            case _:
                drawing.add(bars(opening, 1, 0.1 + 0.02 * model.lines, axis=1), line)
    middle = (model.grille_foot + model.grille_top) / 2
    _badge(drawing, body, 0.0, 0.97 if make.is_badge_on_hood or make.grille in {"kidneys", "band"} else middle)


def _badge(drawing: Drawing, body: CarBody, across: float, height: float) -> None:
    make, size = body.model.make, 0.07
    size_across = size * _aspect(body)
    for outline in badge(make.badge):
        placed = outline * (size_across, size) + (across, height)
        placed[:, 1] = np.minimum(placed[:, 1], 1.0)
        drawing.add([grown(placed, 0.016)], CHROME)
        drawing.add([placed], make.badge_colour)


def _lamps(drawing: Drawing, body: CarBody, *, is_lit: bool) -> None:
    model = body.model
    inner, width, foot = model.lamp_inner, 0.985 - model.lamp_inner, model.lamp_foot

    def placed(outline: Flat) -> Flat:
        across = inner + outline[:, 0] * width
        return np.stack((across, foot + outline[:, 1] * model.lamp_height + model.slant * outline[:, 0]), axis=1)

    outlines = lamp(model.make.lamp)
    for outline in outlines:
        drawing.add_twice([grown(placed(bent(outline)), 0.016)], BLACK)
        drawing.add_twice([placed(bent(outline))], SMOKE)
        drawing.add_twice([placed(bent(grown(outline, -0.06)))], mix(SMOKE, LENS, 0.45))
    lenses = [0.5] if model.lenses == 1 else [0.3, 0.68] if model.lenses == 2 else [0.24, 0.5, 0.76]
    if len(outlines) > 1 or model.make.lamp == "round":
        lenses = [float(outline[:, 0].mean()) for outline in outlines]
    radius = min(0.3 * model.lamp_height, 0.36 * width / _aspect(body) / len(lenses))
    for x in lenses:
        edges = next((at for outline in outlines if (at := span(outline, x, 0))), (0.5, 0.5))
        centre = placed(np.array([(x, sum(edges) / 2)]))[0]
        ring = ellipse(centre[0], centre[1], radius * _aspect(body), radius)
        drawing.add_twice([ring], CHROME)
        drawing.add_twice([grown(ring, -0.018)], SHINING if is_lit else LENS, is_glowing=is_lit)
        drawing.add_twice([ellipse(centre[0], centre[1], radius * _aspect(body) * 0.4, radius * 0.4)], (250, 252, 255))
    for outline in outlines:
        drawing.add_twice(
            [placed(strip) for strip in _signature(model.make.signature, bent(outline))],
            (244, 248, 255),
            is_glowing=is_lit,
        )


def _signature(kind: str, outline: Flat) -> list[Flat]:
    """The day light: a stripe along an edge of the lamp, or dots."""
    across = np.linspace(outline[:, 0].min() + 0.04, outline[:, 0].max() - 0.04, 9)
    middle, low, high = [], [], []
    for column in across:
        at = span(outline, float(column), 0)
        if at is not None:
            middle.append(float(column))
            low.append(at[0])
            high.append(at[1])
    x, foot, head = np.array(middle), np.array(low), np.array(high)
    thick = 0.14
    match kind:
        case "top":
            return [_ribbon(x, head - thick, head - 0.02)]
        case "bottom":
            return [_ribbon(x, foot + 0.02, foot + thick)]
        case "hook":
            inner = x < x[0] + 0.14 * (x[-1] - x[0]) + 1e-9
            return [_ribbon(x, foot + 0.02, foot + thick), _ribbon(x[:2], foot[:2], head[:2])] if inner.any() else []
        case "dots":
            return [ellipse(at, level + 0.1, 0.035, 0.07, 8) for at, level in zip(x[1::2], foot[1::2], strict=True)]
        case _:
            return []


def _fogs(drawing: Drawing, body: CarBody, *, is_lit: bool) -> None:
    model = body.model
    across, height = model.fog_lamp
    for outline in fog(model.fog):
        placed = outline * (0.13, 0.15) + (across, height - 0.075)
        drawing.add_twice([grown(placed, 0.02)], BLACK)
        drawing.add_twice([placed], LENS if not is_lit else mix(LENS, SHINING, 0.5), is_glowing=is_lit)


def _plate(drawing: Drawing, colour: Colour, height: float, *, is_blank: bool) -> None:
    half, low = 0.25, height - 0.09
    drawing.add([_box(-half, low, half, low + 0.17)], colour)
    if is_blank:
        return
    ink = (240, 240, 240) if sum(colour) < 400 else (30, 32, 38)
    for number in range(7):
        left = -half + 0.035 + number * 0.063
        drawing.add([_box(left, low + 0.035, left + 0.042, low + 0.135)], ink)


def _aspect(body: CarBody) -> float:
    """How many units across are as long as one unit upward."""
    return (body.nose_height - body.model.shape.clearance) / (body.model.shape.width / 2)


def _box(left: float, low: float, right: float, high: float) -> Flat:
    return bent(np.array([(left, low), (right, low), (right, high), (left, high)]), 8)


def _ribbon(x: Flat, low: Flat, high: Flat) -> Flat:
    return np.concatenate((np.stack((x, low), axis=1), np.stack((x, high), axis=1)[::-1]))
