"""Owns the painting behind the objects: sky, sun or moon, clouds, hills, town, water and ground."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from world.palette import Colour, darker, lighter, mix
from world.setting import Setting

Size = tuple[int, int]


def paint_backdrop(setting: Setting, size: Size, rng: np.random.Generator) -> Image.Image:
    """Paint an empty scene, RGB; far things first."""
    painting = _sky(setting, size)
    if setting.time == "night" and setting.weather in {"clear", "cloudy"}:
        _stars(painting, setting, rng)
    painting = _sun_or_moon(painting, setting, rng)
    if setting.weather != "fog":
        _clouds(painting, setting, rng)
    _hills(painting, setting, rng)
    if setting.location == "street":
        _town(painting, setting, rng)
    _ground(painting, setting)
    if setting.location in {"beach", "lake"}:
        _water(painting, setting, rng)
    if setting.location == "street":
        _road(painting, setting)
    _texture(painting, setting, rng)
    return painting


def _ramp(top: Colour, bottom: Colour, size: Size) -> Image.Image:
    share = np.linspace(0, 1, size[1], dtype=np.float32)[:, None]
    column = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    return Image.fromarray(column.astype(np.uint8)[:, None, :].repeat(2, axis=1)).resize(size, Image.Resampling.NEAREST)


def _shaded(colour: Colour, setting: Setting) -> Colour:
    red, green, blue = (min(255, round(value * light)) for value, light in zip(colour, setting.light, strict=True))
    return red, green, blue


def _sky(setting: Setting, size: Size) -> Image.Image:
    painting = Image.new("RGB", size)
    painting.paste(_ramp(*setting.sky, (size[0], round(size[1] * setting.horizon) + 2)))
    return painting


def _stars(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(painting, "RGBA")
    for _ in range(90):
        x, y = rng.uniform(0, painting.width), rng.uniform(0, painting.height * setting.horizon * 0.9)
        radius = painting.height * rng.uniform(0.0008, 0.0026)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 250, 230, int(rng.integers(110, 255))))


def _sun_or_moon(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> Image.Image:
    height = {"morning": 0.62, "noon": 0.22, "evening": 0.86, "night": 0.3}[setting.time] * setting.horizon
    centre = (rng.uniform(0.12, 0.88) * painting.width, (height + rng.uniform(-0.04, 0.04)) * painting.height)
    if setting.weather in {"rain", "fog"}:
        return painting
    rows, columns = np.mgrid[0 : painting.height : 4, 0 : painting.width : 4]
    distance = np.hypot(rows - centre[1], columns - centre[0]) / painting.height
    disc, glow_colour = (0.036, (150, 160, 210)) if setting.time == "night" else (0.046, (255, 226, 160))
    strength = 0.35 if setting.weather == "clear" else 0.2
    glow = np.exp(-distance / 0.16) * strength + np.exp(-distance / 0.045) * strength
    mask = Image.fromarray((np.clip(glow, 0, 1) * 255).astype(np.uint8)).resize(
        painting.size, Image.Resampling.BILINEAR
    )
    painting = Image.composite(Image.new("RGB", painting.size, glow_colour), painting, mask)
    radius = disc * painting.height
    face: Colour = (244, 242, 226) if setting.time == "night" else mix((255, 246, 214), setting.sky[1], 0.15)
    corners = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    ImageDraw.Draw(painting).ellipse(corners, fill=face)
    return painting


def _clouds(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> None:
    """Heaps with flat feet, bright on top; drawn small, because they are soft anyway."""
    count = {"clear": rng.integers(0, 3), "cloudy": rng.integers(4, 7)}.get(setting.weather, rng.integers(6, 9))
    top, bottom = setting.sky
    white = _shaded(mix((255, 255, 255), bottom, 0.25 if setting.weather in {"clear", "cloudy"} else 0.55), setting)
    size = (painting.width // 4, round(painting.height * setting.horizon) // 4)
    for _ in range(int(count)):
        body, shade = _heap(size, rng)
        for mask, colour in ((body, white), (shade, mix(white, top, 0.5))):
            large = mask.resize((size[0] * 4, size[1] * 4), Image.Resampling.BICUBIC)
            painting.paste(colour, (0, 0), large)


def _heap(size: Size, rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """The masks of one cloud and of its shaded underside."""
    x, floor = rng.uniform(0, size[0]), rng.uniform(0.08, 0.75) * size[1]
    width = size[0] * rng.uniform(0.09, 0.2) * (1.25 - floor / size[1] * 0.6)
    body, shade = Image.new("L", size), Image.new("L", size)
    for _ in range(9):
        offset = float(np.clip(rng.normal(0, 0.4), -0.75, 0.75))
        reach = width * rng.uniform(0.18, 0.34) * (1 - abs(offset))
        centre = (x + offset * width, floor - reach * 0.3)
        ImageDraw.Draw(body).ellipse(_oval(centre, reach, reach * 0.75), fill=225)
        ImageDraw.Draw(shade).ellipse(_oval((centre[0], centre[1] + reach * 0.4), reach, reach * 0.45), fill=90)
    ImageDraw.Draw(body).rectangle((0, floor + size[1] * 0.02, *size), fill=0)
    shade = ImageChops.darker(body, shade)
    return body.filter(ImageFilter.GaussianBlur(size[1] * 0.012)), shade.filter(
        ImageFilter.GaussianBlur(size[1] * 0.025)
    )


def _oval(centre: tuple[float, float], reach_x: float, reach_y: float) -> tuple[float, float, float, float]:
    return centre[0] - reach_x, centre[1] - reach_y, centre[0] + reach_x, centre[1] + reach_y


def _ridge(width: int, rng: np.random.Generator, waves: int) -> NDArray[np.float64]:
    """A hilly line, (width,) values of about -1..1."""
    across, line = np.linspace(0, 2 * np.pi, width), np.zeros(width)
    for rate in range(1, waves + 1):
        line += np.sin(across * rate * rng.uniform(0.6, 1.4) + rng.uniform(0, 6)) / rate
    return line / 1.6


def _fill_below(painting: Image.Image, line: NDArray[np.float64], colour: Colour) -> None:
    points = [(float(x), float(y)) for x, y in enumerate(line)]
    ImageDraw.Draw(painting).polygon([*points, (painting.width, painting.height), (0, painting.height)], fill=colour)


def _hills(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> None:
    far = setting.sky[1]
    base: Colour = (214, 222, 234) if setting.weather == "snow" else (92, 132, 116)
    haze = 0.86 if setting.weather == "fog" else 0.72
    layers = (
        ((0.085, 0.05, haze, 4), (0.045, 0.03, haze - 0.18, 6))
        if setting.location != "beach"
        else ((0.025, 0.03, haze, 4),)
    )
    for lift, relief, share, waves in layers:
        line = (setting.horizon - lift - relief * _ridge(painting.width, rng, waves)) * painting.height
        _fill_below(
            painting, np.minimum(line, setting.horizon * painting.height), mix(_shaded(base, setting), far, share)
        )


def _town(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> None:
    pen, far = ImageDraw.Draw(painting), setting.sky[1]
    floor, left = setting.horizon * painting.height + 2, -0.02
    while left < 1:
        width, height = rng.uniform(0.045, 0.1), rng.uniform(0.08, 0.24)
        wall = mix(_shaded(mix((168, 150, 150), (122, 140, 166), rng.random()), setting), far, 0.42)
        top = floor - height * painting.height
        pen.rectangle((left * painting.width, top, (left + width) * painting.width, floor), fill=wall)
        lamp: Colour = (255, 220, 140)
        for x in np.arange(left + 0.01, left + width - 0.012, 0.018):
            for y in np.arange(top + painting.height * 0.015, floor, painting.height * 0.03):
                is_lit = rng.random() < (0.5 if setting.time == "night" else 0.06)
                pane = lamp if is_lit else lighter(wall, 0.25)
                pen.rectangle(
                    (x * painting.width, y, (x + 0.009) * painting.width, y + painting.height * 0.015), fill=pane
                )
        left += width + rng.choice((0.0, 0.0, 0.012))


def _ground(painting: Image.Image, setting: Setting) -> None:
    top = round(setting.horizon * painting.height)
    far, near = (_shaded(colour, setting) for colour in setting.ground)
    haze = 0.75 if setting.weather == "fog" else 0.25
    painting.paste(_ramp(mix(far, setting.sky[1], haze), near, (painting.width, painting.height - top)), (0, top))


def _water(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> None:
    water = setting.zone("water")
    assert water is not None
    below = 1 - setting.horizon
    start, end = water[0] - below * 0.1, water[1] + below * 0.06
    top, bottom = round(start * painting.height), round((end + 0.03) * painting.height)
    near: Colour = _shaded((64, 146, 178) if setting.location == "beach" else (72, 128, 160), setting)
    surface = painting.copy()
    surface.paste(_ramp(mix(setting.sky[1], near, 0.3), near, (painting.width, bottom - top)), (0, top))
    _ripples(surface, (top, bottom), setting, rng)
    edge = (end + 0.008 * _ridge(painting.width, rng, 5)) * painting.height
    mask = np.zeros((painting.height, painting.width), np.uint8)
    rows = np.arange(painting.height)[:, None]
    mask[(rows >= top) & (rows < edge[None])] = 255
    wet = ((rows >= edge[None]) & (rows < edge[None] + painting.height * 0.022)).astype(np.uint8) * 90
    painting.paste(
        darker(_shaded(setting.ground[0], setting), 0.35), mask=Image.fromarray(wet).filter(ImageFilter.GaussianBlur(3))
    )
    painting.paste(surface, mask=Image.fromarray(mask))
    foam = [(float(x), float(y)) for x, y in enumerate(edge)]
    ImageDraw.Draw(painting).line(
        foam, fill=_shaded(lighter(near, 0.75), setting), width=max(2, painting.height // 200)
    )


def _ripples(surface: Image.Image, rows: tuple[int, int], setting: Setting, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(surface, "RGBA")
    for _ in range(170):
        depth = rng.uniform(0, 1) ** 1.6
        y = rows[0] + depth * (rows[1] - rows[0])
        x, reach = rng.uniform(0, surface.width), surface.width * (0.008 + 0.035 * depth)
        shine = _shaded((236, 246, 250), setting) if rng.random() < 0.6 else _shaded((30, 84, 120), setting)
        pen.line(
            (x - reach, y, x + reach, y), fill=(*shine, 70), width=max(1, round(surface.height * 0.003 * (0.4 + depth)))
        )


def _road(painting: Image.Image, setting: Setting) -> None:
    pen, below = ImageDraw.Draw(painting), 1 - setting.horizon
    is_snowy = setting.weather == "snow"

    def band(start: float, end: float, colour: Colour) -> None:
        rows = [(setting.horizon + below * share) * painting.height for share in (start, end)]
        pen.rectangle((0, rows[0], painting.width, rows[1]), fill=_shaded(colour, setting))

    pavement: Colour = (214, 214, 220) if is_snowy else (190, 184, 178)
    asphalt: Colour = (142, 146, 154) if is_snowy else (98, 100, 108)
    band(0.26, 0.34, pavement)
    band(0.34, 0.355, darker(pavement, 0.25))
    band(0.355, 0.74, asphalt)
    band(0.74, 0.76, lighter(pavement, 0.3))
    band(0.76, 1.0, pavement)
    y = (setting.horizon + below * 0.52) * painting.height
    for x in np.arange(0.02, 1, 0.125):
        corners = (x * painting.width, y, (x + 0.065) * painting.width, y + painting.height * 0.009)
        pen.rectangle(corners, fill=_shaded((240, 238, 226), setting))
    joint = _shaded(darker(pavement, 0.14), setting)
    for share in (0.83, 0.91):
        y = (setting.horizon + below * share) * painting.height
        pen.line((0, y, painting.width, y), fill=joint, width=max(1, painting.height // 400))
    for x in np.arange(-0.6, 1.6, 0.1):
        start, end = ((x - 0.5) * reach + 0.5 for reach in (1.0, 1.35))
        rows = [(setting.horizon + below * share) * painting.height for share in (0.765, 1.0)]
        pen.line(
            (start * painting.width, rows[0], end * painting.width, rows[1]),
            fill=joint,
            width=max(1, painting.height // 400),
        )


def _texture(painting: Image.Image, setting: Setting, rng: np.random.Generator) -> None:
    """Blades of grass, pebbles, snow: small marks that grow towards the viewer."""
    ground = setting.zone("ground")
    assert ground is not None
    pen = ImageDraw.Draw(painting, "RGBA")
    near = _shaded(setting.ground[1], setting)
    if setting.location == "street":
        return
    is_grass = setting.location != "beach" and setting.weather != "snow"
    start = ground[0] - (1 - setting.horizon) * (0.22 if setting.location == "meadow" else 0.06)
    for _ in range(420):
        depth = np.sqrt(rng.uniform())
        x, y = rng.uniform(0, painting.width), (start + depth * (1 - start)) * painting.height
        reach = painting.height * (0.004 + 0.016 * depth)
        shade = darker(near, 0.22) if rng.random() < 0.5 else lighter(near, 0.2)
        if is_grass:
            lean = rng.uniform(-0.5, 0.5) * reach
            pen.polygon([(x - reach * 0.12, y), (x + reach * 0.12, y), (x + lean, y - reach)], fill=(*shade, 170))
        else:
            pen.ellipse((x - reach * 0.5, y - reach * 0.12, x + reach * 0.5, y + reach * 0.12), fill=(*shade, 70))
