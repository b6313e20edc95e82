import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from encoders.text_cleaning import Cleaner, cleaner_of
from training.tokens.captions import Vocabulary, words_of

SENTENCE = (
    "The man is wearing a blue and white striped tank top and green pants. He has pink headphones around his neck."
)
IDS = [12, 13, 5, 6, 0, 21, 1, 7, 98, 145, 58, 1, 59, 14, 23, 16, 50, 561, 124, 31, 146]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A list of the published size, 4,091 words, with the published ids of the sentence's words."""
    known = dict(zip(SENTENCE.replace(".", "").split(), IDS, strict=True))
    known |= {"black": 2, "<END>": 3, "<START>": 4, "with": 8, "shirt": 9, "shoes": 10, "of": 11, "A": 15}
    others = iter(f"word{number}" for number in range(5000))
    by_id = {number: word for word, number in known.items()}
    ids = {by_id.get(number) or next(others): number for number in range(4091)}
    path = tmp_path / "word_to_index.pkl"
    path.write_bytes(pickle.dumps(ids, protocol=2))
    return path


@dataclass(frozen=True)
class Cleaned:
    """A vocabulary's tokenizer behind its cleaning, as both are served."""

    tokenizer: Tokenizer
    clean: Cleaner

    def encode(self, text: str) -> Any:
        """Tokens as the library gives them."""
        return self.tokenizer.encode(self.clean(text))


def tokenizer(vocabulary: Vocabulary, **options: int) -> Cleaned:
    loaded = Tokenizer.from_str(vocabulary.tokenizer_json(**options))
    return Cleaned(loaded, cleaner_of(vocabulary.text_cleaning, loaded))


def test_the_published_sentence_has_the_published_ids(published: Path) -> None:
    """21 ids; the published application lost `pants.` and `neck.` to their full stops."""
    vocabulary = Vocabulary.published(published)

    assert tokenizer(vocabulary).encode(SENTENCE).ids == IDS
    assert vocabulary.unknown == 4091


def test_words_fall_back_by_case(published: Path) -> None:
    """Exact first, then lower case, then capitalised: `A` and `a` are two words, `HE` is `He`."""
    encode = tokenizer(Vocabulary.published(published)).encode

    assert encode("a A").ids == [0, 15]
    assert encode("MAN Man").ids == [13, 13]
    assert encode("the he HE").ids == [12, 23, 23]


@given(
    word=st.text("aäßAÄ", min_size=1, max_size=4),
    known=st.sets(st.text("aäßAÄ", min_size=1, max_size=4), min_size=1),
)
def test_any_word_is_looked_up_in_three_cases(word: str, known: set[str]) -> None:
    """Exact, lower, capitalised, unknown: for every mixture of cases, as the published rule says."""
    vocabulary = Vocabulary({"A": 0} | {name: number for number, name in enumerate(sorted(known - {"A"}), 1)}, 99)
    ids = [vocabulary.ids[case] for case in (word, word.lower(), word.capitalize()) if case in vocabulary.ids]

    assert tokenizer(vocabulary).encode(word).ids == [*ids, 99][:1]


def test_a_compound_finds_its_word(published: Path) -> None:
    """A hyphen that vanishes leaves a capital in the middle of a word."""
    assert tokenizer(Vocabulary.published(published)).encode("Head-Phones HEADphones").ids == [561, 561]


def test_punctuation_vanishes_from_words() -> None:
    """As in training, where a t-shirt became a tshirt; other scripts' marks stay."""
    vocabulary = Vocabulary.of(["T-shirt, (grey)!"] * 3)

    assert words_of("T-shirt, (grey)!") == ["Tshirt", "grey"]
    assert tokenizer(vocabulary).encode("a tshirt T-Shirt {GREY}").ids == [3, 1, 1, 2]


def test_counting_keeps_what_is_frequent() -> None:
    """Ids by falling count, 0 for padding, the last for all other words."""
    vocabulary = Vocabulary.of(["red coat", "Red coat.", "red hat"], min_count=2)

    assert vocabulary.ids == {"red": 1, "coat": 2}
    assert vocabulary.unknown == 3
    assert len(vocabulary) == 4


def test_ends_are_kept_when_a_caption_is_cut() -> None:
    """The end has the highest id, so a text tower that reads at the maximum reads there."""
    vocabulary = Vocabulary.of(["red coat"] * 3, has_ends=True)
    encode = tokenizer(vocabulary, max_tokens=5).encode

    assert encode("a red coat").ids == [4, 3, 1, 2, 5]
    assert encode("red " * 50).ids == [4, 1, 1, 1, 5]
    assert encode("").ids == [4, 5]
    assert len(vocabulary) == 6


def test_long_captions_are_cut(published: Path) -> None:
    """The published code lost captions of 100 words and failed on longer ones."""
    encode = tokenizer(Vocabulary.published(published)).encode

    assert len(encode("man " * 100).ids) == 100
    assert encode("man " * 250).ids == [13] * 100


def test_an_empty_caption_has_no_tokens(published: Path) -> None:
    """Blank or nothing but marks: the caller decides what that means."""
    encode = tokenizer(Vocabulary.published(published)).encode

    assert encode("").ids == encode(" ... !").ids == []


def test_special_words_cannot_be_typed(published: Path) -> None:
    """The list's `<START>` and our `[UNK]` lose their brackets before they are looked up."""
    assert tokenizer(Vocabulary.published(published)).encode("<START> [UNK]").ids == [4091, 4091]


def test_json_will_do_as_well(tmp_path: Path) -> None:
    """The same dictionary without a pickle."""
    path = tmp_path / "words.json"
    path.write_text(json.dumps({"a": 0, "naïve": 1}), encoding="utf-8")

    assert tokenizer(Vocabulary.published(path)).encode("Naïve a b").ids == [1, 0, 2]


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_in_a_pickle_runs(tmp_path: Path) -> None:
    """A pickle that asks for anything but dictionaries, strings and numbers is refused."""
    path = tmp_path / "word_to_index.pkl"
    path.write_bytes(pickle.dumps({"a": Trap(tmp_path / "ran")}))

    with pytest.raises(ValueError, match="not a plain dictionary"):
        Vocabulary.published(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (pickle.dumps(["a"]), "not a dictionary from words"),
        (pickle.dumps({"a": "0"}), "not a dictionary from words"),
        (pickle.dumps({"a": 0, "b": 2}), "the ids of 2 words are not 0 to 1"),
        (pickle.dumps({"a": 0})[:-3], "not a plain dictionary"),
        (b"", "not a plain dictionary"),
        (b'{"a": 0', "not a plain dictionary"),
    ],
)
def test_a_broken_list_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    """One sentence with the path."""
    path = tmp_path / "word_to_index.pkl"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=problem):
        Vocabulary.published(path)
