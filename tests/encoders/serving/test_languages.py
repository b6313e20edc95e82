import pytest

from encoders.serving.languages import language_warning, unknown_warning


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ein rotes Auto vor dem Haus", "another language"),
        ("une voiture rouge", "another language"),
        ("красная машина", "Cyrillic letters"),
        ("赤い車", "letters"),
        ("红色的汽车", "Chinese letters"),
        ("a red car, красная", "Cyrillic letters"),
    ],
)
def test_another_language_is_said(text: str, said: str) -> None:
    """Letters of another script, or small words of another language, and what the model reads instead."""
    warning = language_warning(text, ["en"])

    assert said in warning
    assert warning.endswith("this model reads: en")


@pytest.mark.parametrize(
    "text",
    [
        "a red car",
        "RED",
        "Las Vegas at night",
        "a grain of 5 μm",
        "Müller's café",
        "an einer bottle of a wine",
        "7",
        "?!",
    ],
)
def test_english_is_not_warned_of(text: str) -> None:
    """Names, symbols and accents are part of English texts."""
    assert language_warning(text, ["en"]) == ""


def test_languages_of_the_bundle_decide() -> None:
    """Nothing is said without languages, of languages that are read, or of those whose words or script are not known here."""
    german, russian = "ein rotes Auto vor dem Haus", "красная машина"

    assert language_warning(german, []) == language_warning(russian, []) == ""
    assert language_warning(german, ["de-AT"]) == language_warning(russian, ["en", "ru"]) == ""
    assert language_warning(german, ["sw"]) == language_warning(russian, ["am"]) == ""
    assert "another language" in language_warning(
        "a car in front of the house and a tree: ein Auto und vor dem Haus", ["fr"]
    )


@pytest.mark.parametrize(("unknown", "words", "count"), [(3, 4, 1), (2, 2, 0), (3, 5, 0), (5, 6, 1)])
def test_nearly_all_words_unknown(unknown: int, words: int, count: int) -> None:
    """Three quarters of at least four words are enough."""
    assert unknown_warning(unknown, words, ["en"]).count("words are unknown; this model reads: en") == count
    assert unknown_warning(unknown, words, []) == ""
