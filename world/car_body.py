"""Owns the shape of a car in space: its skin, its windows and its wheels, and where points of its face lie.

Metres; x points forward, y to the car's left, z up; the ground is z = 0 and the car's middle x = y = 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from world.car_model import CarModel

Points = NDArray[np.float64]
# Places on a surface, two coordinates each, to points in space (..., 3).
Surface = Callable[[NDArray[np.float64], NDArray[np.float64]], Points]

# How wide a section is from its foot (0) to the hood or the windows (1), as a share of half the width.
_HEIGHTS, _WIDTHS = (0.0, 0.12, 0.5, 0.8, 0.93, 1.0), (0.91, 0.965, 1.0, 0.985, 0.945, 0.87)
_CROWN, _ROOF_CROWN, _GLASS_CURVE = 0.05, 0.06, 0.16


@dataclass(frozen=True, slots=True, eq=False)
class CarBody:
    """The surfaces of one model; each method gives points (..., 3) for places on one of them."""

    model: CarModel

    def front(self, across: NDArray[np.float64], height: NDArray[np.float64]) -> Points:
        """The face: across -1..1, height 0 (the bumper's foot) to 1 (the hood's edge)."""
        model, shape = self.model, self.model.shape
        x = shape.length / 2 - model.nose_depth * np.abs(across) ** 2.6
        x = x - model.lean * height - 0.07 * np.clip((height - 0.82) / 0.18, 0, 1) ** 2
        x = x + 0.035 * np.exp(-(((height - 0.3) / 0.16) ** 2)) - 0.06 * np.clip(0.12 - height, 0, 1) / 0.12
        foot = shape.clearance
        return _joined(x, across * self._half_width(height), foot + height * (self.nose_height - foot))

    def rear(self, across: NDArray[np.float64], height: NDArray[np.float64]) -> Points:
        """The tail: across -1..1, height 0 to 1 (the boot's edge)."""
        model, shape = self.model, self.model.shape
        x = -shape.length / 2 + model.tail_depth * np.abs(across) ** 3 + 0.06 * height
        x = x - 0.03 * np.exp(-(((height - 0.3) / 0.16) ** 2)) + 0.06 * np.clip((height - 0.85) / 0.15, 0, 1) ** 2
        foot = shape.clearance + 0.04
        return _joined(x, across * self._half_width(height), foot + height * (self.deck_height - foot))

    def side(self, along: NDArray[np.float64], height: NDArray[np.float64], left: int) -> Points:
        """A flank (`left` 1 or -1): along 0 (front) to 1 (rear), height 0 (the sill) to 1 (the shoulder)."""
        front, rear = self.front(np.ones(1), np.ravel(height)), self.rear(np.ones(1), np.ravel(height))
        x_front, x_rear = front[:, 0].reshape(np.shape(height)), rear[:, 0].reshape(np.shape(height))
        x = x_front + (x_rear - x_front) * along
        foot = self.model.shape.clearance + 0.04 * along
        return _joined(x, left * self._half_width(height), foot + height * (self.shoulder(x) - foot))

    def top(self, along: NDArray[np.float64], across: NDArray[np.float64]) -> Points:
        """Hood, belt and boot: along 0 to 1, across -1..1."""
        one = np.ones_like(across)
        x_front, x_rear = self.front(across, one)[..., 0], self.rear(across, one)[..., 0]
        x = x_front + (x_rear - x_front) * along
        edge_x = self.front(one, one)[..., 0] + (self.rear(one, one)[..., 0] - self.front(one, one)[..., 0]) * along
        rise = _CROWN * (1 - across**2) * np.clip(np.minimum(along, 1 - along) / 0.04, 0, 1)
        return _joined(x, across * self._half_width(one), self.shoulder(edge_x) + rise)

    def windscreen(self, across: NDArray[np.float64], rise: NDArray[np.float64]) -> Points:
        """Across -1..1, rise 0 (the hood) to 1 (the roof)."""
        return self._slope(self.at(self.model.shape.cowl), self.at(self.model.shape.roof_front), across, rise)

    def rear_window(self, across: NDArray[np.float64], rise: NDArray[np.float64]) -> Points:
        """Across -1..1, rise 0 (the boot) to 1 (the roof)."""
        return self._slope(self.at(self.model.shape.tail), self.at(self.model.shape.roof_rear), across, rise)

    def roof(self, along: NDArray[np.float64], across: NDArray[np.float64]) -> Points:
        """Along 0 (the windscreen) to 1, across -1..1."""
        front, rear = self.windscreen(across, np.ones_like(across)), self.rear_window(across, np.ones_like(across))
        points = front + (rear - front) * along[..., None]
        points[..., 2] += 0.03 * np.sin(np.pi * along) * (1 - across**2)
        return points

    def cabin(self, x: NDArray[np.float64], rise: NDArray[np.float64], left: int) -> Points:
        """The windows' flank: x in metres, rise 0 (the belt) to 1 (the roof's edge above that x)."""
        foot, head = self.shoulder(x), self.window_line(x)
        z = foot + rise * np.maximum(head - foot, 0)
        return _joined(x, left * self._cabin_half_width(z), z)

    @property
    def belt_height(self) -> float:
        return self.model.shape.belt * self.model.shape.height

    @property
    def nose_height(self) -> float:
        return self.model.shape.nose * self.belt_height

    @property
    def deck_height(self) -> float:
        return self.belt_height * (0.97 if self.model.body == "pickup" else 1.03)

    def at(self, share: float) -> float:
        """The x of a share of the length, counted from the front."""
        return self.model.shape.length * (0.5 - share)

    def shoulder(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The height of hood, belt and boot along the car."""
        shape, belt = self.model.shape, self.belt_height
        corner = (self.model.nose_depth + self.model.lean + 0.07) / shape.length
        roof = (shape.roof_front + shape.roof_rear) / 2
        positions = [corner, (corner + shape.cowl) / 2, shape.cowl, roof, shape.tail - 0.02, 1.0]
        heights = [
            self.nose_height,
            self.nose_height + 0.72 * (belt - self.nose_height),
            belt * 0.99,
            belt,
            self.deck_height,
            self.deck_height,
        ]
        return np.interp(0.5 - np.asarray(x) / shape.length, positions, heights)

    def window_line(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The upper edge of the cabin's flank along the car."""
        rise = np.linspace(0, 1, 5)
        front, rear = self.windscreen(np.ones(5), rise), self.rear_window(np.ones(5), rise)
        line = np.concatenate((rear, front[::-1]))
        return np.interp(x, line[:, 0], line[:, 2])

    def window_ends(self) -> tuple[float, float]:
        """The x of the cabin's flank: its rear end and its front end."""
        edge, foot = np.ones(1), np.zeros(1)
        return float(self.rear_window(edge, foot)[0, 0]), float(self.windscreen(edge, foot)[0, 0])

    def wheel_positions(self) -> tuple[float, float]:
        """The x of the rear and of the front axis."""
        length, overhang = self.model.shape.length, self.model.overhang
        return -length / 2 + overhang * 0.98, length / 2 - overhang

    def skin(self) -> Points:
        """The lower body as quads (N, 4, 3)."""
        across, height = np.linspace(-1, 1, 11), np.array([0, 0.07, 0.16, 0.3, 0.45, 0.6, 0.75, 0.87, 0.94, 1.0])
        along = np.array([0, 0.015, 0.04, 0.09, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7, 0.78, 0.86, 0.93, 0.97, 1.0])
        return np.concatenate(
            [
                loft(self.front, across, height),
                loft(self.rear, across, height),
                *(loft(partial(self.side, left=left), along, height) for left in (-1, 1)),
                loft(self.top, along, across),
            ]
        )

    def cabin_skin(self) -> Points:
        """The roof and its pillars as quads (N, 4, 3), with the glass not yet in."""
        across, steps = np.linspace(-1, 1, 9), np.linspace(0, 1, 4)
        rear, front = self.window_ends()
        corners = [self.windscreen(np.ones(1), np.ones(1))[0, 0], self.rear_window(np.ones(1), np.ones(1))[0, 0]]
        x = np.sort(np.concatenate((np.linspace(rear, front, 14), corners)))
        return np.concatenate(
            [
                loft(self.windscreen, across, steps),
                loft(self.rear_window, across, steps),
                loft(self.roof, steps, across),
                *(loft(partial(self.cabin, left=left), x, steps) for left in (-1, 1)),
            ]
        )

    def _half_width(self, height: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(height, _HEIGHTS, _WIDTHS) * self.model.shape.width / 2

    def _cabin_half_width(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = self.model.shape
        share = (z - self.belt_height) / (shape.height - _ROOF_CROWN - self.belt_height)
        return shape.width / 2 * (0.865 + (shape.roof_width - 0.865) * np.clip(share, 0, 1))

    def _slope(self, foot_x: float, head_x: float, across: NDArray[np.float64], rise: NDArray[np.float64]) -> Points:
        """A pane between belt and roof, whose sides stand back."""
        back = _GLASS_CURVE * np.sign(foot_x - head_x) * across**2 * (1 - 0.4 * rise)
        foot = float(self.shoulder(np.array(foot_x)))
        head = self.model.shape.height - _ROOF_CROWN
        z = foot + rise * (head - foot) + _ROOF_CROWN * (1 - across**2) * rise
        x = foot_x + (head_x - foot_x) * rise - back
        return _joined(x, across * self._cabin_half_width(foot + rise * (head - foot)), z)


def _joined(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> Points:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def loft(surface: Surface, first: NDArray[np.float64], second: NDArray[np.float64]) -> Points:
    """Lay a grid of these two coordinates on a surface: quads (N, 4, 3)."""
    columns, rows = np.meshgrid(first, second)
    return quads(surface(columns, rows))


def quads(grid: Points) -> Points:
    """Neighbouring points of a grid (R, C, 3) as quads ((R-1)(C-1), 4, 3)."""
    corners = (grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1])
    return np.stack(corners, axis=2).reshape(-1, 4, 3)


def circle(x: float, y: float, radius: float, height: float, corners: int = 24) -> Points:
    """A disc upright in the plane of that y, its middle `height` above the ground: (corners, 3)."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return _joined(x + radius * np.cos(turn), np.full(corners, y), height + radius * np.sin(turn))
