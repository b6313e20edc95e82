"""Owns the camera: it looks at a car's surfaces from one place and paints what faces it, far things first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from world.car_body import Points
from world.palette import Colour

Material = Literal["paint", "glass", "flat"]

# Shapes are painted this many times larger and scaled down, which smooths their edges.
SUPERSAMPLING = 2
_CENTRE = np.array([0.0, 0.0, 0.62])
_MARGIN = 0.09


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the car is seen from: degrees around it (0 the front, 90 its left side) and above, and metres away."""

    around: float
    above: float
    distance: float

    @property
    def position(self) -> Points:
        """The camera's own place in space."""
        around, above = np.radians(self.around), np.radians(self.above)
        flat = np.cos(above) * self.distance
        away = (flat * np.cos(around), flat * np.sin(around), np.sin(above) * self.distance)
        position: Points = _CENTRE + away
        return position

    def project(self, points: Points) -> Points:
        """Where points (..., 3) lie on the image's plane, (..., 2), y pointing down."""
        forward = (_CENTRE - self.position) / self.distance
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        seen = points - self.position
        plane = np.stack((seen @ right, -(seen @ np.cross(right, forward))), axis=-1)
        projected: Points = plane / (seen @ forward)[..., None]
        return projected


@dataclass(frozen=True, slots=True)
class Light:
    """Where the sun is, how strong it and the sky are, and the colours that paint mirrors."""

    sun: tuple[float, float, float] = (0.45, 0.35, 0.82)
    strength: float = 0.5
    ambient: float = 0.62
    sky: Colour = (206, 222, 240)
    ground: Colour = (92, 92, 96)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Polygons (k, 3) with their colours; a sorted layer is painted far to near, another one in its order."""

    polygons: Sequence[Points]
    colours: Sequence[Colour]
    material: Material = "flat"
    is_sorted: bool = False
    glowing: frozenset[int] = field(default_factory=frozenset)
    # Faces that look away from here are seen; None shows both sides.
    centre: tuple[float, float, float] | None = (0.0, 0.0, 0.62)


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """The car as RGBA, its shadow on the ground as a mask of the same size, and what shines, as another."""

    sprite: Image.Image
    shadow: Image.Image
    glow: Image.Image


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """Where shapes are painted, and which pixel (..., 2) a point in space comes to."""

    pen: ImageDraw.ImageDraw
    glow_pen: ImageDraw.ImageDraw
    to_px: Callable[[Points], Points]


@dataclass(frozen=True, slots=True, eq=False)
class _Rays:
    """Of N polygons: unit normals (N, 3), unit directions to the camera (N, 3), and the cosines between them (N, 1)."""

    normals: Points
    towards: Points
    facing: Points


def paint_layers(
    layers: Sequence[Layer], ground: Points, camera: Camera, light: Light, room_px: tuple[int, int]
) -> Painted:
    """Paint the layers one over the other, as large as fits; `ground` (k, 3) is the outline of the shadow."""
    points_px = camera.project(np.concatenate([polygon for layer in layers for polygon in layer.polygons]))
    low, high = points_px.min(axis=0), points_px.max(axis=0)
    scale = float((np.array(room_px) / (high - low)).min()) * SUPERSAMPLING
    margin = room_px[0] * SUPERSAMPLING * _MARGIN
    small = [int(side / SUPERSAMPLING) for side in (high - low) * scale + 2 * margin]

    def to_px(points: Points) -> Points:
        pixels: Points = (camera.project(points) - low) * scale + margin
        return pixels

    sprite = Image.new("RGBA", (small[0] * SUPERSAMPLING, small[1] * SUPERSAMPLING))
    glow, shadow = Image.new("L", (small[0], small[1])), Image.new("L", (small[0], small[1]))
    canvas = _Canvas(ImageDraw.Draw(sprite), ImageDraw.Draw(glow), to_px)
    for layer in layers:
        _paint_layer(layer, camera, light, canvas)
    outline = [tuple(corner) for corner in (to_px(ground) / SUPERSAMPLING).tolist()]
    ImageDraw.Draw(shadow).polygon(outline, fill=255)
    shadow = shadow.filter(ImageFilter.GaussianBlur(room_px[0] * 0.02))
    return Painted(sprite.reduce(SUPERSAMPLING), shadow, glow)


def _paint_layer(layer: Layer, camera: Camera, light: Light, canvas: _Canvas) -> None:
    counts = np.array([len(polygon) for polygon in layer.polygons])
    points = np.concatenate(layer.polygons)
    starts = np.cumsum(counts) - counts
    middles = np.add.reduceat(points, starts) / counts[:, None]
    # Newell's normal, which holds for any flat polygon.
    following = np.arange(1, len(points) + 1)
    following[starts + counts - 1] = starts
    normals = np.add.reduceat(np.cross(points, points[following]), starts)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    away = camera.position - middles
    distances = np.linalg.norm(away, axis=1, keepdims=True)
    towards = away / distances
    outward = towards if layer.centre is None else middles - layer.centre
    normals *= np.where((normals * outward).sum(axis=1, keepdims=True) < 0, -1, 1)
    facing = (normals * towards).sum(axis=1, keepdims=True)

    colours = _shaded(np.asarray(layer.colours, float), _Rays(normals, towards, facing), layer.material, light)
    for number in layer.glowing:
        colours[number] = layer.colours[number]
    order = np.argsort(-distances[:, 0], kind="stable") if layer.is_sorted else np.arange(len(counts))
    fills, corners = colours.astype(int).tolist(), canvas.to_px(points).tolist()
    for number in order[facing[order, 0] > 0].tolist():
        start = starts[number]
        outline = [tuple(corner) for corner in corners[start : start + counts[number]]]
        canvas.pen.polygon(outline, fill=(*fills[number], 255))
        if number in layer.glowing:
            canvas.glow_pen.polygon([(x / SUPERSAMPLING, y / SUPERSAMPLING) for x, y in outline], fill=255)


def _shaded(colours: Points, rays: _Rays, material: Material, light: Light) -> Points:
    """What sun, sky and the mirrored world make of colours (N, 3)."""
    sun = np.array(light.sun) / np.linalg.norm(light.sun)
    ambient = light.ambient * (0.8 + 0.2 * rays.normals[:, 2:])
    shaded = colours * (ambient + light.strength * np.maximum(rays.normals @ sun, 0)[:, None])
    if material != "flat":
        mirrored = 2 * rays.facing * rays.normals - rays.towards
        height = mirrored[:, 2:]
        # Bright sky above a dark rim of houses and trees at the horizon, then the ground.
        sky = np.array(light.sky, float) * (0.72 + 0.28 * np.clip(height, 0, 1))
        ground = np.array(light.ground, float) * (0.55 + 0.45 * np.clip(-2 * height, 0, 1))
        grazing = (1 - np.clip(rays.facing, 0, 1)) ** 3
        share = (0.1 if material == "paint" else 0.3) + 0.5 * grazing
        spark = np.maximum(mirrored @ sun, 0)[:, None] ** 40 * light.strength * (200 if material == "paint" else 120)
        shaded = shaded * (1 - share) + np.where(height > 0.12, sky, ground) * share + spark
    clipped: Points = np.clip(shaded, 0, 255)
    return clipped
