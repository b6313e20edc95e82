"""Owns the drawing of one car: the model's body with glass, wheels, face and tail, seen by one camera."""

import numpy as np

from world.car_body import CarBody, Points, circle, loft, quads
from world.car_face import BLACK, CHROME, SHADE, Drawing, draw_face, draw_tail
from world.car_model import CarModel
from world.car_view import Camera, Layer, Light, Painted, paint_layers
from world.palette import Colour, darker, lighter

GLASS: Colour = (30, 36, 44)
TYRE: Colour = (34, 35, 38)
RIM: Colour = (178, 182, 190)
HOLLOW: Colour = (64, 66, 72)
HUB: Colour = (120, 124, 132)


def draw_car(
    model: CarModel,
    paint: Colour,
    camera: Camera,
    light: Light,
    room_px: tuple[int, int],
    *,
    plate: Colour,
    is_lit: bool = False,
    is_plate_blank: bool = False,
) -> Painted:
    """Draw the car as large as fits in `room_px`, (width, height), with a margin around it for its shadow."""
    body = CarBody(model)
    position = camera.position
    seen = [left for left in (-1, 1) if left * position[1] > model.shape.width / 2 * 0.98]
    layers = [layer for left in (-1, 1) for layer in (_treads(body, left), _discs(body, left))]
    skin = body.skin()
    layers.append(Layer(list(skin), [paint] * len(skin), "paint", is_sorted=True))
    layers.append(_hood(body, paint))
    for left in seen:
        layers += [_side(body, paint, left), _arches(body, left), _discs(body, left)]
    if position[0] > model.shape.length / 2:
        layers.append(draw_face(body, paint, plate, is_lit=is_lit, is_plate_blank=is_plate_blank))
    if position[0] < -model.shape.length / 2:
        layers.append(draw_tail(body, paint, plate, is_lit=is_lit, is_plate_blank=is_plate_blank))
    nearer = 1 if position[1] > 0 else -1
    layers.append(_mirror(body, paint, -nearer))
    cabin = body.cabin_skin()
    layers.append(Layer(list(cabin), [paint] * len(cabin), "paint", is_sorted=True))
    layers += [_glass(body), _mirror(body, paint, nearer)]
    if model.has_rails:
        layers += [_rail(body, left) for left in (-nearer, nearer)]
    return paint_layers(layers, _footprint(model), camera, light, room_px)


def _treads(body: CarBody, left: int) -> Layer:
    """The round of both tyres of one side, which is seen below the bumper."""
    radius, outer = body.model.wheel, _wheel_plane(body, left)
    treads: list[Points] = []
    for x in body.wheel_positions():
        near, far = circle(x, outer, radius, radius), circle(x, outer - left * 0.2, radius, radius)
        treads += list(np.stack((near, np.roll(near, -1, 0), np.roll(far, -1, 0), far), axis=1))
    return Layer(treads, [BLACK] * len(treads), centre=None)


def _discs(body: CarBody, left: int) -> Layer:
    """Tyre, rim and spokes of both wheels of one side."""
    model, outer = body.model, _wheel_plane(body, left)
    discs: list[tuple[Points, Colour]] = []
    for x in body.wheel_positions():
        rings: tuple[tuple[float, Colour], ...] = ((1.0, TYRE), (0.66, RIM), (0.6, HOLLOW))
        discs += [(circle(x, outer, model.wheel * share, model.wheel), colour) for share, colour in rings]
        for turn in np.linspace(0, 2 * np.pi, model.spokes, endpoint=False):
            discs.append((_spoke(x, outer, model.wheel, float(turn), 1.1 / model.spokes), RIM))
        discs.append((circle(x, outer, model.wheel * 0.14, model.wheel, 10), HUB))
    return Layer([points for points, _ in discs], [colour for _, colour in discs], centre=None)


def _wheel_plane(body: CarBody, left: int) -> float:
    return left * (body.model.shape.width / 2 - 0.015)


def _spoke(x: float, y: float, radius: float, turn: float, width: float) -> Points:
    turns = np.array([turn - width * 0.7, turn + width * 0.7, turn + width * 0.35, turn - width * 0.35])
    radii = radius * np.array([0.1, 0.1, 0.62, 0.62])
    return np.stack((x + radii * np.cos(turns), np.full(4, y), radius + radii * np.sin(turns)), axis=1)


def _hood(body: CarBody, paint: Colour) -> Layer:
    """The gap around the hood and its creases."""
    end = body.model.shape.cowl * 0.94
    drawing = Drawing(body.top)
    drawing.add([_box(0.005, side - 0.006, end, side + 0.006) for side in (-0.92, 0.92)], darker(paint, 0.5))
    creases = [side * (0.66 - 0.24 * number) for number in range(body.model.creases) for side in (-1, 1)]
    drawing.add([_box(0.01, x - 0.01, end, x + 0.01) for x in creases], darker(paint, 0.22))
    drawing.add([_box(0.01, x + 0.01, end, x + 0.022) for x in creases], lighter(paint, 0.25))
    return drawing.layer()


def _side(body: CarBody, paint: Colour, left: int) -> Layer:
    """Sill, doors, handles and the crease of one flank."""
    model, shape = body.model, body.model.shape
    drawing = Drawing(lambda along, height: body.side(along, height, left))
    drawing.add([_box(0.02, 0.0, 0.98, 0.2 if model.is_cladded else 0.07)], SHADE)
    front, rear = shape.cowl + 0.02, min(shape.roof_rear + 0.02, 0.8)
    doors = [front, (front + rear) / 2 + 0.06] if shape.doors == 2 else [front, (front + rear) / 2, rear]
    drawing.add([_box(x, 0.1, x + 0.003, 1.0) for x in doors], darker(paint, 0.5))
    drawing.add([_box(x - 0.045, 0.76, x - 0.015, 0.8) for x in doors[1:]], CHROME)
    drawing.add([np.array([(0.12, 0.66), (0.9, 0.7), (0.9, 0.712), (0.12, 0.672)])], darker(paint, 0.25))
    return drawing.layer()


def _arches(body: CarBody, left: int) -> Layer:
    """The openings around the wheels of one side, and their cladding."""
    model, y = body.model, left * (body.model.shape.width / 2 + 0.004)
    arches: list[tuple[Points, Colour]] = []
    for x in body.wheel_positions():
        for share, colour in ((1.32, SHADE), (1.16, BLACK)) if model.is_cladded else ((1.16, BLACK),):
            arch = circle(x, y, model.wheel * share, model.wheel, 28)
            arch[:, 2] = np.maximum(arch[:, 2], model.shape.clearance)
            arches.append((arch, colour))
    return Layer([points for points, _ in arches], [colour for _, colour in arches])


def _glass(body: CarBody) -> Layer:
    """Every pane, in strips so that light can change over it."""
    across, rise = np.linspace(-0.92, 0.92, 9), np.linspace(0.05, 0.95, 6)
    strips = [loft(body.windscreen, across, rise), loft(body.rear_window, across, rise)]
    rear, front = body.window_ends()
    length, pillar = front - rear, 0.05
    middle = front - length * (0.5 if body.model.shape.doors > 2 else 0.62)
    for start, end in ((rear + length * 0.06, middle - pillar), (middle + pillar, front - length * 0.06)):
        x = np.linspace(start, end, 24)
        x = x[body.window_line(x) - body.shoulder(x) > 0.14]
        if len(x) < 3:
            continue
        x = np.linspace(x[0], x[-1], 10)
        room = body.window_line(x) - body.shoulder(x)
        edges = np.stack((0.04 / room, 1 - 0.07 / room))
        strips += [quads(body.cabin(np.stack((x, x)), edges, left)) for left in (-1, 1)]
    panes = np.concatenate(strips)
    return Layer(list(panes), [GLASS] * len(panes), "glass", is_sorted=True)


def _rail(body: CarBody, left: int) -> Layer:
    """A rail along the roof's edge."""
    shape = body.model.shape
    x = np.linspace(body.at(shape.roof_rear) + 0.1, body.at(shape.roof_front) - 0.25, 8)
    edge = body.cabin(x, np.ones(8), left)
    inner, height = np.array([0, -left * 0.05, 0]), np.array([0, 0, 0.06])
    faces = np.concatenate((quads(np.stack((edge, edge + height))), quads(np.stack((edge, edge + inner)) + height)))
    return Layer(list(faces), [CHROME if body.model.make.is_chrome else SHADE] * len(faces), is_sorted=True)


def _mirror(body: CarBody, paint: Colour, left: int) -> Layer:
    """A door mirror as a small box."""
    shape = body.model.shape
    x, y, z = body.window_ends()[1] - 0.28, left * shape.width / 2 * 0.9, body.belt_height + 0.07
    near, far = np.array([x - 0.06, y, z - 0.06]), np.array([x + 0.07, y + left * 0.19, z + 0.08])
    a, b = np.minimum(near, far), np.maximum(near, far)
    corners = np.array([[(a, b)[i][0], (a, b)[j][1], (a, b)[k][2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    faces = [
        corners[list(face)]
        for face in ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
    ]
    centre = tuple(float(value) for value in corners.mean(axis=0))
    return Layer(faces, [paint] * 6, "paint", is_sorted=True, centre=centre)  # type: ignore[arg-type]


def _box(left: float, low: float, right: float, high: float) -> Points:
    return np.array([(left, low), (right, low), (right, high), (left, high)])


def _footprint(model: CarModel) -> Points:
    x, y = model.shape.length / 2 * 1.02, model.shape.width / 2 * 1.04
    corners = [
        (x, y * 0.7),
        (x * 0.9, y),
        (-x * 0.9, y),
        (-x, y * 0.7),
        (-x, -y * 0.7),
        (-x * 0.9, -y),
        (x * 0.9, -y),
        (x, -y * 0.7),
    ]
    return np.array([(*corner, 0.0) for corner in corners])
