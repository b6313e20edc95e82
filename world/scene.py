"""Owns the scene: objects placed in a setting by perspective, with shadows, light and weather, and their true boxes."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from world.backdrop import Size, paint_backdrop
from world.kinds import KINDS, Kind
from world.palette import Colour
from world.setting import Setting
from world.weather import paint_weather

Box = tuple[float, float, float, float]

# How high the viewer's eye is: it ties an object's size to where it stands below the horizon.
EYE_M = 2.2
# Less of an object may be hidden or outside than this share of its box.
MOST_HIDDEN = 0.22
SMALLEST_SIDE = 0.045

# What makes a street a street comes first, while there is room for it.
_TYPICAL_ZONE = {"meadow": "back", "street": "road", "beach": "water", "lake": "water"}


@dataclass(frozen=True, slots=True)
class SceneObject:
    """An object of a scene: what it is and its box in normalized coordinates of the image, drawn near it or far."""

    label: str
    colour: str
    box: Box

    def box_px(self, size: Size) -> tuple[int, int, int, int]:
        """The box in an image of (width, height): left, top, and the pixels behind the last ones."""
        x_min, y_min, x_max, y_max = self.box
        return round(x_min * size[0]), round(y_min * size[1]), round(x_max * size[0]), round(y_max * size[1])


@dataclass(frozen=True, slots=True)
class Placed:
    """A sprite at its place: `left` and `top` in pixels, `foot` the share of the height where it stands."""

    kind: Kind
    colour: str
    sprite: Image.Image
    left: int
    top: int
    foot: float

    def box(self, size: Size) -> Box:
        right, bottom = self.left + self.sprite.width, self.top + self.sprite.height
        return (
            max(0, self.left) / size[0],
            max(0, self.top) / size[1],
            min(size[0], right) / size[0],
            min(size[1], bottom) / size[1],
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn image with its whole truth; objects are in the order in which they were painted, far ones first.

    `placed` holds what was painted for each of them, before light and weather.
    """

    image: Image.Image
    objects: tuple[SceneObject, ...]
    setting: Setting | None
    placed: tuple[Placed, ...]

    def metadata(self) -> dict[str, str | int | list[str]]:
        """What a person would say about the image, as a collection's metadata."""
        said: dict[str, str | int | list[str]] = {
            "kinds": sorted({item.label for item in self.objects}),
            "colours": sorted({item.colour for item in self.objects}),
            "object_count": len(self.objects),
        }
        if self.setting is not None:
            said |= {"place": self.setting.location, "time": self.setting.time, "weather": self.setting.weather}
        return said


def draw_scene(rng: np.random.Generator, size: Size = (800, 600)) -> Scene:
    """Draw a scene of three to nine objects; the same generator state gives the same image and truth."""
    setting = Setting.draw(rng)
    placed = _arrange_objects(setting, size, rng)
    image = paint_backdrop(setting, (size[0] * 2, size[1] * 2), rng).reduce(2)
    for item in placed:
        _paint_shadow(image, item, setting)
        _paint_object(image, item, setting)
    image = paint_weather(image, setting, rng)
    return Scene(image, truth_of(placed, size), setting, tuple(placed))


def truth_of(placed: list[Placed], size: Size) -> tuple[SceneObject, ...]:
    """What stands in an image, in the same order."""
    return tuple(SceneObject(item.kind.label, item.colour, item.box(size)) for item in placed)


def _arrange_objects(setting: Setting, size: Size, rng: np.random.Generator) -> list[Placed]:
    at_home = [kind for kind in KINDS.values() if setting.zone(kind.zone) is not None]
    count, placed = int(rng.integers(3, 10)), list[Placed]()
    typical = [kind for kind in at_home if kind.zone == _TYPICAL_ZONE[setting.location]]
    for attempt in range(count * 3):
        choice = typical if attempt < 6 and len(placed) < 2 else at_home
        kind = choice[rng.integers(len(choice))]
        zone = setting.zone(kind.zone)
        assert zone is not None
        foot = float(rng.uniform(*zone))
        height = _height(kind, foot, setting, rng)
        item = sprite_at(kind, foot, height * rng.uniform(0.9, 1.1), size, rng)
        if fits(item, placed, size):
            placed.append(item)
        if len(placed) == count:
            break
    return sorted(placed, key=lambda item: item.foot)


def _height(kind: Kind, foot: float, setting: Setting, rng: np.random.Generator) -> float:
    """How tall it looks, as a share of the image: what hangs in the sky may be near or far."""
    if kind.zone == "sky":
        return float(rng.uniform(0.12, 0.26))
    return kind.height_m * (foot - setting.horizon) / EYE_M


def sprite_at(kind: Kind, foot: float, height: float, size: Size, rng: np.random.Generator) -> Placed:
    """Draw one that stands at `foot`, anywhere across the image, at most a fifth of it outside."""
    colour = str(rng.choice(kind.colours))
    sprite = kind.sprite(colour, round(height * size[1]), rng)
    inside = 0.3 * sprite.width
    middle = rng.uniform(inside, max(inside + 1, size[0] - inside))
    return Placed(kind, colour, sprite, round(middle - sprite.width / 2), round(foot * size[1]) - sprite.height, foot)


def fits(item: Placed, others: list[Placed], size: Size) -> bool:
    """Large enough, inside the image for the most part, and neither hiding another one nor hidden by it."""
    box = item.box(size)
    whole = item.sprite.width * item.sprite.height / (size[0] * size[1])
    if min(box[2] - box[0], box[3] - box[1]) < SMALLEST_SIDE or _area(box) < (1 - MOST_HIDDEN) * whole:
        return False
    return all(_overlap(box, other.box(size)) < MOST_HIDDEN for other in others)


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(first: Box, second: Box) -> float:
    """The common area as a share of the smaller box."""
    common = (
        max(first[0], second[0]),
        max(first[1], second[1]),
        min(first[2], second[2]),
        min(first[3], second[3]),
    )
    return _area(common) / min(_area(first), _area(second))


def _paint_object(image: Image.Image, item: Placed, setting: Setting) -> None:
    lit = np.asarray(item.sprite, np.float32) * (*setting.light, 1.0)
    if setting.weather == "fog":
        # What stands far away fades into the sky's colour.
        share = 0.7 * (1 - min(1.0, max(0.0, item.foot - setting.horizon) / (1 - setting.horizon)) ** 0.5)
        lit[..., :3] = lit[..., :3] * (1 - share) + np.asarray(setting.sky[1]) * share
    sprite = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    image.paste(sprite, (item.left, item.top), sprite)


def _paint_shadow(image: Image.Image, item: Placed, setting: Setting) -> None:
    """On land the sprite's own shape, laid flat and leaning away from the sun; on water its reflection."""
    if item.kind.zone == "sky":
        return
    if item.kind.zone == "water":
        _paint_reflection(image, item)
        return
    alpha, lean = item.sprite.getchannel("A"), 0.9 if setting.time in {"morning", "evening"} else 0.35
    width, height = alpha.width, max(2, round(alpha.height * (0.16 if setting.time == "noon" else 0.26)))
    room = round(height * lean * 2)
    flat = _on_a_margin(alpha.resize((width, height), Image.Resampling.BILINEAR), room, 0)
    shear = (1, lean * 2, -lean * 2 * height, 0, 1, 0)
    leaning = _on_a_margin(flat.transform(flat.size, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR), 8, 8)
    leaning = leaning.filter(ImageFilter.GaussianBlur(max(1.0, alpha.height * 0.012)))
    foot = item.top + alpha.height
    _darken(image, leaning, (item.left - room - 8, foot - height - 8 + round(height * 0.06)), setting.shadow)
    contact = _on_a_margin(Image.new("L", (width, max(2, round(alpha.height * 0.04))), 255), 8, 8)
    contact = contact.filter(ImageFilter.GaussianBlur(4))
    _darken(image, contact, (item.left - 8, foot - contact.height // 2 - 1), setting.shadow * 0.8)


def _on_a_margin(mask: Image.Image, margin_x: int, margin_y: int) -> Image.Image:
    wide = Image.new("L", (mask.width + 2 * margin_x, mask.height + 2 * margin_y))
    wide.paste(mask, (margin_x, margin_y))
    return wide


def _darken(image: Image.Image, mask: Image.Image, corner: tuple[int, int], strength: float) -> None:
    tone: Colour = (20, 24, 48)
    image.paste(
        tone, (*corner, corner[0] + mask.width, corner[1] + mask.height), mask.point(lambda alpha: alpha * strength)
    )


def _paint_reflection(image: Image.Image, item: Placed) -> None:
    height = max(2, round(item.sprite.height * 0.4))
    mirrored = item.sprite.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((item.sprite.width, height))
    fade = np.linspace(0.32, 0.0, height)[:, None]
    alpha = Image.fromarray((np.asarray(mirrored.getchannel("A")) * fade).astype(np.uint8))
    image.paste(mirrored, (item.left, item.top + item.sprite.height - 1), alpha)
