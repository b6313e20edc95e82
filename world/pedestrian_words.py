"""Owns the words of captions of drawn pedestrians: what a crowd calls colours, clothes and people."""

SUBJECTS = ("a person", "a pedestrian", "someone", "this person", "the pedestrian", "the person", "an individual")
COLOURS = {
    "black": ("black", "black", "black", "dark"),
    "white": ("white",),
    "grey": ("grey", "gray"),
    "light blue": ("light blue", "light blue", "pale blue", "sky blue"),
    "blue": ("blue", "blue", "bright blue"),
    "navy": ("navy", "navy blue", "dark blue"),
    "purple": ("purple", "purple", "violet"),
    "brown": ("brown",),
    "beige": ("beige", "tan", "cream colored"),
    "orange": ("orange",),
    "red": ("red", "red", "bright red"),
    "green": ("green",),
    "yellow": ("yellow",),
    "pink": ("pink",),
}
NOUNS = {
    "t-shirt": ("t-shirt", "tee shirt", "short sleeved shirt", "short-sleeved top"),
    "shirt": ("shirt", "button up shirt", "long sleeved shirt", "button-down shirt"),
    "sweater": ("sweater", "sweater", "pullover", "jumper"),
    "hoodie": ("hoodie", "hoodie", "hooded sweatshirt", "hooded top"),
    "jacket": ("jacket", "jacket", "open jacket", "short jacket"),
    "coat": ("coat", "long coat", "overcoat"),
    "tank top": ("tank top", "sleeveless top", "sleeveless shirt"),
    "dress": ("dress", "short sleeved dress"),
    "trousers": ("trousers", "pants", "pants", "slacks"),
    "jeans": ("jeans", "jeans", "denim pants", "denim jeans"),
    "shorts": ("shorts", "shorts", "short pants"),
    "skirt": ("skirt", "skirt", "short skirt"),
    "long skirt": ("long skirt", "ankle length skirt"),
    "leggings": ("leggings", "tight pants", "leggings"),
    "sneakers": ("sneakers", "sneakers", "trainers", "running shoes"),
    "boots": ("boots", "boots", "ankle boots"),
    "shoes": ("shoes", "shoes", "flat shoes"),
    "sandals": ("sandals", "open sandals"),
    "backpack": ("backpack", "backpack", "rucksack"),
    "shoulder bag": ("shoulder bag", "messenger bag", "crossbody bag", "bag on a shoulder strap"),
    "handbag": ("handbag", "purse", "small handbag"),
    "shopping bag": ("shopping bag", "paper bag", "large shopping bag"),
    "suitcase": ("suitcase", "rolling suitcase", "trolley case"),
    "cap": ("cap", "baseball cap"),
    "beanie": ("beanie", "knit hat", "woolly hat"),
    "sun hat": ("sun hat", "hat with a wide brim"),
    "scarf": ("scarf",),
    "umbrella": ("umbrella", "open umbrella"),
}
HAIR_COLOURS = {"blond": ("blond", "blonde"), "grey": ("grey", "gray")}
HAIR_STYLES = {
    "short": ("short {} hair",),
    "long": ("long {} hair", "{} hair past the shoulders"),
    "ponytail": ("{} hair in a ponytail", "a {} ponytail"),
    "bun": ("{} hair in a bun", "{} hair tied up"),
    "curly": ("curly {} hair", "{} curly hair", "{} curls"),
}
# These stand before the colour: a short blue skirt.
SIZES = {"short", "long", "large", "small", "tight", "open"}
PLURAL = {"trousers", "jeans", "shorts", "leggings", "sneakers", "boots", "shoes", "sandals"}
PAIRS = {"sneakers", "boots", "shoes", "sandals", "shorts", "jeans"}
PATTERNS = {"striped": ("striped", "stripes"), "checked": ("checked", "checks"), "dotted": ("dotted", "dots")}
