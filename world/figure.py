"""Owns the pedestrian's body: joints in space, turned to the viewer, and the limbs between them on a drawing board."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from world.palette import Colour
from world.sprite import Point, Sprite

# Across the body (to its own left), down from the crown, and ahead; all in heights of the person.
Joint = tuple[float, float, float]

# Half the body's width seen from the front and from the side, at heights from the neck to the hips.
_HEIGHTS = (0.165, 0.19, 0.215, 0.25, 0.36, 0.45, 0.52, 0.6)
_FRONT = (0.034, 0.06, 0.1, 0.112, 0.104, 0.09, 0.1, 0.108)
_SIDE = (0.034, 0.04, 0.054, 0.064, 0.07, 0.064, 0.072, 0.074)


@dataclass(frozen=True, slots=True)
class Pose:
    """How a person stands before a camera: `yaw` 0 faces it, π/2 walks to the right, π shows the back.

    `phase` is where in a step they are, 0..2π, and `stride` how far they step out, 0 for standing.
    """

    yaw: float
    phase: float
    stride: float

    @property
    def view(self) -> str:
        """`front`, `back` or `side`, as one would say it."""
        facing = np.cos(self.yaw)
        if abs(facing) < 0.5:
            return "side"
        return "front" if facing > 0 else "back"


class Figure:
    """Places the body on a board; `height` is the person's share of the board's height."""

    def __init__(self, board: Sprite, pose: Pose, *, centre: float, height: float, broad: float) -> None:
        self.board, self.pose = board, pose
        self._centre, self._height, self._broad = centre, height, broad
        self.ahead, self.across = float(np.sin(pose.yaw)), float(np.cos(pose.yaw))
        self.swing = float(np.sin(pose.phase)) * pose.stride

    def at(self, joint: Joint) -> Point:
        """Where a joint is on the board."""
        side, down, forward = joint
        # What is ahead and turned to the viewer stands a little lower, because the camera looks down.
        x = side * self.across + forward * self.ahead
        y = down + 0.16 * (forward * self.across - side * self.ahead)
        return self._centre + x * self._height, 1 - (1 - y) * self._height - 0.012

    def size(self, length: float) -> float:
        """A length in heights of the person, on the board."""
        return length * self._height

    def is_near(self, joint: Joint) -> bool:
        """Whether a joint is on the viewer's side of the body."""
        side, _, forward = joint
        return forward * self.across - side * self.ahead > 0

    def breadth(self, front: float, side: float) -> float:
        """Half the width, on the board, of a round thing that is `front` wide and `side` deep."""
        return self.size(float(np.hypot(front * self.across, side * self.ahead)))

    def torso(self, down: float, loose: float = 1.0) -> float:
        """Half the torso's width at a height, in cloth as wide as `loose` says."""
        front, side = np.interp(down, _HEIGHTS, _FRONT), np.interp(down, _HEIGHTS, _SIDE)
        return self.breadth(float(front) * self._broad * loose, float(side) * self._broad * loose)

    def limb(self, joints: Sequence[Joint], widths: Sequence[float], fill: Colour) -> None:
        """A tapered stroke with round joints."""
        stroke(self.board, [self.at(joint) for joint in joints], [self.size(width) for width in widths], fill)

    def leg(self, side: int) -> tuple[Joint, Joint, Joint]:
        """Hip, knee and ankle; the leg that comes forward bends its knee and lifts its foot."""
        step = self.swing * side
        lift = max(0.0, float(np.cos(self.pose.phase)) * side) * self.pose.stride
        hip = 0.05 * self._broad
        return (
            (side * hip, 0.52, 0.0),
            (side * hip, 0.735 - 0.05 * lift, 0.55 * step + 0.35 * lift),
            (side * hip * 0.85, 0.945 - 0.12 * lift, step - 0.1 * lift),
        )

    def arm(self, side: int) -> tuple[Joint, Joint, Joint]:
        """Shoulder, elbow and hand; arms swing against the legs."""
        step = -self.swing * side * 0.8
        shoulder = 0.104 * self._broad
        return (
            (side * shoulder, 0.225, 0.0),
            (side * (shoulder + 0.03), 0.37, 0.35 * step - 0.012),
            (side * (shoulder + 0.034), 0.505 - 0.1 * abs(step), step + 0.03),
        )

    def raised_arm(self, side: int) -> tuple[Joint, Joint, Joint]:
        """The arm that holds an umbrella up."""
        shoulder = 0.104 * self._broad
        return (side * shoulder, 0.225, 0.0), (side * (shoulder + 0.03), 0.36, 0.05), (side * 0.09, 0.285, 0.12)


def stroke(board: Sprite, points: Sequence[Point], widths: Sequence[float], fill: Colour) -> None:
    """A line through points whose width changes from one to the next; ends are round."""
    for (start, end), (first, last) in zip(pairwise(points), pairwise(widths), strict=True):
        along: NDArray[np.float64] = np.asarray(end) - np.asarray(start)
        length = float(np.hypot(*along))
        if length > 1e-6:
            normal = np.asarray((along[1], -along[0])) / length / 2
            corners = (start + normal * first, end + normal * last, end - normal * last, start - normal * first)
            board.polygon([(float(x), float(y)) for x, y in corners], fill)
    for point, width in zip(points, widths, strict=True):
        board.ellipse(point, width / 2, fill)


def between(first: Joint, second: Joint, share: float) -> Joint:
    """`share` of the way from the first joint to the second."""
    across, down, ahead = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return across, down, ahead
