"""Owns how a text is put between its start and its end in a `tokenizer.json`."""


def between(start: tuple[str, int], end: tuple[str, int]) -> dict[str, object]:
    """Describe the step that adds both tokens, each given as name and id, after the text was cut to leave room."""
    first, last = ({"SpecialToken": {"id": token, "type_id": 0}} for token, _ in (start, end))
    text, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [first, text, last],
        "pair": [first, text, second, last],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]} for token, number in (start, end)},
    }
