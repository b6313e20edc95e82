from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Tokenizer

from encoders.text_cleaning import clean_as_clip
from training.tokens.clip import clip_tokenizer_json, published_merges

SIMPLE = SimpleTokenizer()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_str(clip_tokenizer_json(published_merges()))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a photo of a cat", "49406 320 1125 539 320 2368 49407"),
        ("It is a plate of food.", "49406 585 533 320 5135 539 1559 269 49407"),
        ("", "49406 49407"),
        ("Two dogs, playing; 2023!", "49406 1237 3255 267 1629 282 273 271 273 274 256 49407"),
        ("naïve café", "49406 1097 35689 563 15304 49407"),
    ],
)
def test_published_ids(tokenizer: Tokenizer, text: str, ids: str) -> None:
    """The golden values of CLIP's own tokenizer."""
    assert tokenizer.encode(clean_as_clip(text)).ids == [int(number) for number in ids.split()]


@pytest.mark.parametrize(
    "text",
    [
        "it's a Dog\u2019s &amp; \u201ccat\u201d; don't WE'LL",
        "tabs\tand\nlines  x_y - a/b 12.5% \u00bd \u00b2",
        "\u6771\u4eac \U0001f642 e\u0301",
        "&lt;b&gt; &amp;amp; &quot;so&quot; &#233; &eacute; &hellip; &#x27;",
        "caf\u00c3\u00a9 don\u00e2\u20ac\u2122t",
        "\uff21\uff22\uff23 \uff11\uff12\uff13 \ufb01ne \u03a3\u039f\u03a6\u039f\u03a3 \u0130stanbul",
        "\x00 \x1b[31m \ufeff \u2028 \u00ad",
        "a\u0345b !\u0345!",
        "\x85\u00a0\u1680\u2002\u3000 a",
    ],
)
def test_open_clip_reads_the_same(tokenizer: Tokenizer, text: str) -> None:
    """Beside the tokenizer that the weights were trained with."""
    assert tokenizer.encode(clean_as_clip(text)).ids == [49406, *SimpleTokenizer().encode(text), 49407]


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]), max_size=40)
    | st.text("'\u00e2\u20ac\u2122&#;x1aeSsDd \u0130", max_size=40)
)
def test_open_clip_reads_any_text_the_same(tokenizer: Tokenizer, text: str) -> None:
    """Whatever a person can send, but for the names of the tokens that cannot be typed here."""
    assume("_of_text>" not in text)

    assert tokenizer.encode(clean_as_clip(text)).ids[:70] == [49406, *SIMPLE.encode(text), 49407][:70]


def test_the_end_survives_cutting(tokenizer: Tokenizer) -> None:
    """The published code cut it off, and the embedding was read somewhere else."""
    ids = tokenizer.encode("cat " * 500).ids

    assert len(ids) == 77
    assert ids[-1] == 49407


def test_the_end_cannot_be_typed(tokenizer: Tokenizer) -> None:
    """CLIP's own tokenizer makes a real end of it, which hides the words behind."""
    text = "<end_of_text> cat"

    assert SimpleTokenizer().encode(text) == [49407, 2368]
    assert tokenizer.encode(text).ids.index(49407) == len(tokenizer.encode(text).ids) - 1
    assert 49406 not in tokenizer.encode("<start_of_text> cat").ids[1:]


def test_other_merges_are_refused(tmp_path: Path) -> None:
    """One changed byte would shift ids without a sign."""
    (tmp_path / "merges.txt.gz").write_bytes(published_merges().read_bytes()[:-1])

    with pytest.raises(ValueError, match="not the published merges file"):
        clip_tokenizer_json(tmp_path / "merges.txt.gz")
