"""Owns the drawing of what a pedestrian wears on the legs and feet."""

from world.cloth import flared, tube
from world.figure import Figure, between
from world.palette import Colour, darker, lighter
from world.wardrobe import Garment, Person


def draw_leg(figure: Figure, person: Person, side: int) -> None:
    """One leg with what is worn on it; skirts come later, over both."""
    hip, knee, ankle = figure.leg(side)
    shade = 0.0 if figure.is_near((side * 0.1, 0.0, 0.0)) or abs(figure.across) > 0.9 else 0.16
    skin = darker(person.skin, 0.05 + shade)
    figure.limb((hip, knee, ankle), (0.088, 0.062, 0.044), skin)
    _shoe(figure, person.shoes, side, skin)
    lower = person.lower
    if lower is None or "skirt" in lower.kind:
        return
    cloth = darker(lower.shade, shade)
    match lower.kind:
        case "shorts":
            tube(figure, (hip, between(hip, knee, 0.86)), (0.106, 0.1), cloth)
        case "leggings":
            tube(figure, (hip, knee, between(knee, ankle, 0.9)), (0.098, 0.064, 0.042), cloth)
        case "trousers":
            tube(figure, (hip, knee, between(knee, ankle, 0.95)), (0.106, 0.084, 0.074), cloth)
            line = [figure.at(joint) for joint in (between(hip, knee, 0.25), knee, between(knee, ankle, 0.85))]
            figure.board.line(line, figure.size(0.006), darker(cloth, 0.22), keeps_mask=True)
        case _:
            # Jeans are worn pale over the thigh and turned up at the foot.
            tube(figure, (hip, knee, between(knee, ankle, 0.95)), (0.104, 0.076, 0.06), cloth)
            figure.limb((between(hip, knee, 0.4), between(hip, knee, 0.9)), (0.036, 0.024), lighter(cloth, 0.07))
            figure.limb((between(knee, ankle, 0.93), between(knee, ankle, 0.95)), (0.06, 0.06), lighter(cloth, 0.25))
    # The seat joins both legs.
    figure.limb((hip, (0.0, 0.525, 0.0)), (0.1, 0.1), cloth)


def _shoe(figure: Figure, shoes: Garment, side: int, skin: Colour) -> None:
    _, knee, ankle = figure.leg(side)
    across, down, ahead = ankle
    heel, toe = (across, down + 0.022, ahead - 0.012), (across * 1.15, down + 0.026, ahead + 0.075)
    sole = (across, down + 0.036, ahead - 0.014), (across * 1.15, down + 0.037, ahead + 0.078)
    match shoes.kind:
        case "boots":
            figure.limb((between(knee, ankle, 0.45), ankle), (0.066, 0.056), shoes.shade)
            figure.limb(sole, (0.018, 0.018), darker(shoes.shade, 0.4))
            figure.limb((heel, toe), (0.046, 0.036), shoes.shade)
        case "sandals":
            figure.limb(sole, (0.03, 0.03), darker(shoes.shade, 0.2))
            figure.limb((heel, toe), (0.036, 0.028), skin)
            strap = between(heel, toe, 0.55)
            figure.limb((strap, strap), (0.04, 0.04), shoes.shade)
            figure.limb((ankle, ankle), (0.046, 0.046), shoes.shade)
        case "sneakers":
            figure.limb(sole, (0.026, 0.026), (242, 242, 240) if shoes.colour != "white" else (186, 188, 190))
            figure.limb((heel, toe), (0.05, 0.04), shoes.shade)
        case _:
            figure.limb(sole, (0.016, 0.016), darker(shoes.shade, 0.5))
            figure.limb((heel, toe), (0.042, 0.032), shoes.shade)


def draw_skirt(figure: Figure, person: Person) -> None:
    """A skirt over both legs."""
    if person.lower is None or "skirt" not in person.lower.kind:
        return
    hem = 0.7 if person.lower.kind == "skirt" else 0.9
    flared(figure, person.lower.shade, top=0.5, hem=hem, flare=1.34 if hem < 0.8 else 1.5)
