"""Filters mean the same to every engine as to Python, whatever is in their texts."""

import asyncio
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.stores.filter import parse_filter
from services.stores.images import ImageStore
from services.stores.records import image_id_of
from tests.services.stores.making import a_collection, picture, put, unit_vectors
from tests.services.stores.meaning import holds

KEYS = ("a", "b", "c.d", "größe", "k-1")
TEXTS = ["", "a", "ab", "a'b", 'a"b', "a\\", "a\nb", "\t", "%", "a_", "ab%", "x' or key != '", "漢", "😀", "5", "true"]
METADATA: list[dict[str, Any]] = [
    {},
    {"a": None, "b": [1, "a"], "c": {}},
    *({"a": text, "b": len(text), "c": {"d": text}} for text in TEXTS),
    *({"a": number, "größe": number, "k-1": number > 1} for number in (0, 1, 1.5, -2, 5, 5.0, 1e300, 2**53)),
    *({"a": truth, "c": {"d": truth, "e": None}} for truth in (True, False)),
    {"a": {"b": 1}, "b": "deep", "c": {"d": {"e": 1}}},
]


def quoted(text: str) -> str:
    """A text as a user writes it, in either quotes."""
    escaped = text.replace("\\", "\\\\")
    return (
        f"'{escaped.replace(chr(39), chr(92) + chr(39))}'" if len(text) % 2 else '"' + escaped.replace('"', '\\"') + '"'
    )


texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)
values = st.one_of(
    texts.map(quoted),
    st.integers(-3, 8).map(str),
    st.sampled_from(["1.5", "-2.0", "1e300", "9007199254740992", "true", "false", "null"]),
)
ordered = st.one_of(texts.map(quoted), st.sampled_from(["0", "1", "1.5", "-2", "5"]))
names = st.sampled_from(KEYS)
comparisons = st.one_of(
    st.builds("{} {} {}".format, names, st.sampled_from(["=", "==", "!="]), values),
    st.builds("{} {} {}".format, names, st.sampled_from(["<", "<=", ">", ">="]), ordered),
    st.builds(
        lambda name, word, items: f"{name} {word} ({', '.join(items)})",
        names,
        st.sampled_from(["in", "not in"]),
        st.lists(values, min_size=1, max_size=4),
    ),
    st.builds(lambda name, text: f"{name} like {quoted(text.replace('%', '') + '%')}", names, texts),
    st.builds("exists {}".format, names),
    st.builds("uri {} {}".format, st.sampled_from(["=", "<", ">="]), texts.map(quoted)),
    st.builds("width_px {} {}".format, st.sampled_from(["=", "<", "!="]), st.sampled_from(["640", "641", "639.5"])),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("{} or ({})".format, inner, inner),
    ),
    max_leaves=6,
)


@pytest.fixture
async def pictures(store: ImageStore, name: str) -> dict[str, dict[str, Any]]:
    """Pictures of every kind of metadata, by image_id."""
    await store.create(a_collection(name))
    embeddings = unit_vectors(len(METADATA))
    images = [picture(f"p{i}", embeddings[i], metadata) for i, metadata in enumerate(METADATA)]
    await put(store, name, *images)
    return {
        image_id_of(image.uri): {"metadata": image.metadata, "uri": image.uri, "width_px": 640.0} for image in images
    }


async def test_engines_and_python_agree(store: ImageStore, name: str, pictures: dict[str, dict[str, Any]]) -> None:
    """Any filter matches just the pictures that it matches by its definition."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(filters)
    def agree(text: str) -> None:
        tree = parse_filter(text)
        assert tree is not None
        expected = sorted(image_id for image_id, fields in pictures.items() if holds(tree, fields))
        matching = asyncio.run_coroutine_threadsafe(store.ids_matching(name, text), loop)
        assert matching.result(30) == expected

    await asyncio.to_thread(agree)
    await store.drop(name)


async def test_long_filters_work(store: ImageStore, name: str, pictures: dict[str, dict[str, Any]]) -> None:
    """A filter as long as is allowed is answered, chains and lists alike."""
    chain = " or ".join(f"b={i}" for i in range(400))
    items = ",".join(str(i) for i in range(1000))

    for text in (chain, f"b in ({items})", f"not ({chain})", "(" * 19 + "b=1" + ")" * 19):
        tree = parse_filter(text)
        assert tree is not None
        expected = sorted(image_id for image_id, fields in pictures.items() if holds(tree, fields))
        assert await store.ids_matching(name, text) == expected
    await store.drop(name)


async def test_texts_cannot_break_out(store: ImageStore, name: str, pictures: dict[str, dict[str, Any]]) -> None:
    """A text that looks like an expression is compared as a text."""
    for attack in (
        "' or key != '",
        "\\' or key != '",
        "\\\\' or key != \\'",
        '" or key != "',
        "x') or (key != '",
        "'] or key != '",
        "a' || true || '",
        "${a}",
        "{a}",
        *string.punctuation,
    ):
        assert await store.ids_matching(name, f"a = {quoted(attack)}") == [
            image_id for image_id, fields in pictures.items() if fields["metadata"].get("a") == attack
        ]
    await store.drop(name)
