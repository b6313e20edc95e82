from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.bundle import Bundle
from encoders.errors import BundleError, InvalidContent
from encoders.serving.text import Tokenizer
from tests.support.bundles import tiny_image_bundle, tiny_text_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_text_bundle(tmp_path, max_tokens=4)


@pytest.fixture
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(bundle)


@pytest.mark.parametrize(
    ("text", "ids", "warnings"),
    [
        ("red", [1], ()),
        ("  Red  BLUE ", [1, 3], ()),
        ("red mauve", [1, 0], ("unknown words: mauve",)),
        ("Taupe red  MAUVE taupe", [0, 1, 0, 0], ("unknown words: Taupe, MAUVE, taupe",)),
        ("red red red red red", [1, 1, 1, 1], ("text was cut to 4 tokens",)),
        ("red " * 100_000, [1, 1, 1, 1], ("text was cut to 4 tokens",)),
    ],
)
def test_words_become_tokens(tokenizer: Tokenizer, text: str, ids: list[int], warnings: tuple[str, ...]) -> None:
    """What is cut or unknown is a warning."""
    tokens = tokenizer.encode(text)

    assert tokens.ids.tolist() == ids
    assert tokens.warnings == warnings
    assert not tokens.refusal


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("mauve", "(mauve)"),
        ("mauve Mauve mauve", "(mauve, Mauve)"),
        ("赤い 車", "(赤い, 車)"),
        ("?!", "(?!)"),
        ("m" * 200, f"({'m' * 40}…)"),
    ],
)
def test_a_text_of_unknown_words_is_refused(tokenizer: Tokenizer, text: str, named: str) -> None:
    """A text of which the model reads nothing would be any other such text; the refusal names its words."""
    assert f"knows no word of this text {named};" in tokenizer.encode(text).refusal


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=12), min_size=1, max_size=4))
def test_every_unknown_word_is_named(words: list[str]) -> None:
    """Whatever the words, the ones that the vocabulary lacks are named, and a text with a known one is taken."""
    unknown = [word for word in words if word.lower() not in {"red", "green", "blue"}]
    with TemporaryDirectory() as folder:
        tokenizer = Tokenizer(tiny_text_bundle(Path(folder), max_tokens=8))
    tokens = tokenizer.encode(" ".join(["red", *words]))
    assert not tokens.refusal
    assert tokens.warnings == ((f"unknown words: {', '.join(dict.fromkeys(unknown))}",) if unknown else ())


def test_a_bundle_with_languages_warns_of_others(tmp_path: Path) -> None:
    """What the text tower does not read is a warning beside the unknown words, and part of a refusal."""
    tokenizer = Tokenizer(tiny_text_bundle(tmp_path, languages=("en",)))
    assert tokenizer.encode("a red car").warnings[1:] == ()
    assert tokenizer.encode("red собака").warnings[1] == "the text has Cyrillic letters; this model reads: en"
    assert tokenizer.encode("ein red").warnings[1] == "the text seems to be in another language; this model reads: en"
    assert tokenizer.encode("masa kedi top red").warnings[1] == "3 of 4 words are unknown; this model reads: en"
    assert tokenizer.encode("собака").refusal.endswith(
        "say it in other words; the text has Cyrillic letters; this model reads: en."
    )


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_no_words_are_no_text(tokenizer: Tokenizer, text: str) -> None:
    """Blanks are refused in one sentence."""
    with pytest.raises(InvalidContent, match="empty"):
        tokenizer.encode(text)


def test_threads_share_a_tokenizer(tokenizer: Tokenizer) -> None:
    """Callers on several threads do not disturb one another."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(tokenizer.encode, ["red", "blue green"] * 200))

    assert {tuple(answer.ids.tolist()) for answer in answers} == {(1,), (3, 2)}


def test_a_bundle_without_words_or_with_a_broken_tokenizer_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    """The error names the bundle or the file."""
    with pytest.raises(BundleError, match="reads no text"):
        Tokenizer(tiny_image_bundle(tmp_path / "image"))
    (bundle.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json is not a tokenizer"):
        Tokenizer(bundle)
