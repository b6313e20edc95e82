"""Filters mean the same to every engine as to Python, whatever is in their texts."""

import asyncio
import string
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import reduce
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from domain.detection import Detection
from domain.exif import Exif
from rpc.metadata import checked
from services.stores.filters.expression import kinds_of
from services.stores.filters.grammar import parse_filter
from services.stores.images import ImageStore
from services.stores.milvus import rows
from services.stores.records import CollectionMode, image_id_of
from testbed.servers import EmbeddedServer
from tests.services.stores.making import a_collection, find, new_image, put, unit_embeddings
from tests.services.stores.meaning import holds

T = TypeVar("T")
EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)

NAMES = (
    *(
        "a",
        "b",
        "c.d",
        "größe",
        "k-1",
        "tags",
        "n",
        "label",
        "score",
        "`a.b`",
        "c.`e:f`",
        "tags.`0`",
        "`2024`",
        "`and`",
    ),
    *("`=`", "c.`=`", '`it\\`s "quoted"`', "`\\n\\\\/~1`", "`\u0001`", "gro\u0308\u00dfe", "has"),
)
TEXTS = ["", "a", "ab", "a'b", 'a"b', "a\\", "a\nb", "\t", "%", "a_", "ab%", "x' or key != '", "漢", "😀", "5", "true"]
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
NUMBERS = (0, 1, 1.5, -2, 5, 5.0, -0.0, 0.1, 1e-300, 1e300, 2**53 - 1, 1 - 2**53, 2.0**60)
METADATA: list[dict[str, Any]] = [
    {},
    {"a": None, "b": [1, "a"], "c": {}},
    *({"a": text, "b": len(text), "c": {"d": text}} for text in TEXTS),
    *({"a": number, "größe": number, "k-1": number > 1, "n": number} for number in NUMBERS),
    *({"a": truth, "c": {"d": truth, "e": None}} for truth in (True, False)),
    {"a": {"b": 1}, "b": "deep", "c": {"d": {"e": 1}}, "a.b": "dotted"},
    {"tags": [*TEXTS, COMPOSED]},
    {"tags": [5, 1.5, 2.0, True, None, ["a"], {"a": "ab"}]},
    {"tags": [], "label": "a", "score": 1, "a": DECOMPOSED},
    {"tags": {"0": "a", "=": 5}, "=": "a", "c": {"=": 5, "e:f": 5}, "has": 5, "a": COMPOSED},
    {"2024": 5, "and": "a", 'it`s "quoted"': "a", "\n\\/~1": "a", "\u0001": 5, "gro\u0308\u00dfe": "a"},
]
DATES = ("2023", "2024-05", "2024-05-01", "2024-05-02T12:30", "2024-05-02T12:30:01", "9999")
EXIFS = (
    Exif(),
    Exif(taken="2024-05-01T00:00:00", camera="a", latitude=48.0, longitude=-1.0),
    Exif(taken="2024-05-02T12:30:01", camera="a'b", lens="ab", latitude=48.5, longitude=0.0),
    Exif(taken="2023-12-31T23:59:59", lens="漢"),
    Exif(camera=COMPOSED),
)
"""Facts of cameras, which the images have in turn; the first has none, as rows of earlier releases."""


def quoted(text: str) -> str:
    """A text as a user writes it, in either quotes."""
    escaped = text.replace("\\", "\\\\")
    return (
        f"'{escaped.replace(chr(39), chr(92) + chr(39))}'" if len(text) % 2 else '"' + escaped.replace('"', '\\"') + '"'
    )


texts = st.sampled_from([*TEXTS, COMPOSED, DECOMPOSED]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8
)
values = st.one_of(
    texts.map(quoted),
    st.integers(-3, 8).map(str),
    st.sampled_from(["1.5", "-2.0", "1e300", "9007199254740991", "true", "false", "null"]),
)
ordered = st.one_of(texts.map(quoted), st.sampled_from(["0", "1", "1.5", "-2", "5"]))
names = st.sampled_from(NAMES)
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
    st.builds("{} has {}".format, names, values.filter(lambda value: value != "null")),
    st.builds("$uri {} {}".format, st.sampled_from(["=", "<", ">="]), texts.map(quoted)),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["$camera", "$lens"]),
        st.sampled_from(["=", "!=", "<", ">="]),
        texts.map(quoted),
    ),
    st.builds("$camera like {}".format, texts.map(lambda text: quoted(text.replace("%", "") + "%"))),
    st.builds("$latitude {} {}".format, st.sampled_from(["=", "!=", "<", ">="]), st.sampled_from(["48", "48.5", "-1"])),
    st.builds("$taken {} '{}'".format, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.sampled_from(DATES)),
    st.builds("{} {}".format, st.sampled_from(["exists", "not exists"]), st.sampled_from(["$taken", "$longitude"])),
    st.builds("$width_px {} {}".format, st.sampled_from(["=", "<", "!="]), st.sampled_from(["640", "641", "639.5"])),
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
async def stored_images(store: ImageStore, name: str) -> dict[str, dict[str, Any]]:
    """Images of every kind of metadata, by image_id."""
    await store.create(a_collection(name))
    embeddings = unit_embeddings(len(METADATA))
    images = [
        replace(new_image(f"p{i}", embeddings[i], checked(metadata)), exif=EXIFS[i % len(EXIFS)])
        for i, metadata in enumerate(METADATA)
    ]
    await put(store, name, *images)
    return {
        image_id_of(image.uri): {
            "metadata": image.metadata,
            "uri": image.uri,
            "width_px": 640.0,
            **image.exif.known,
        }
        for image in images
    }


async def test_engines_and_python_agree(store: ImageStore, name: str, stored_images: dict[str, dict[str, Any]]) -> None:
    """Any filter matches just the images that it matches by its definition."""

    @EXAMPLES
    @given(filters)
    @example(f"$camera like '{DECOMPOSED}%' or $camera = '{DECOMPOSED}'")
    def agree(text: str) -> None:
        assert matching(text) == matching_in_python(text, stored_images)

    matching = blocking(store, name)
    await asyncio.to_thread(agree)
    await store.drop(name)


numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(1 - 2**53, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


async def test_a_literal_means_the_same_alone_and_in_a_list(
    store: ImageStore, name: str, stored_images: dict[str, dict[str, Any]]
) -> None:
    """`x = v`, `x in (v)` and `x in (v, w)` agree with Python for numbers in any form, texts and truths; so does `has`."""
    literals = st.one_of(
        numbers.map(repr),
        numbers.map("{:.17e}".format),
        numbers.map(lambda number: f"+{abs(number)!r}"),
        values.filter(lambda value: value != "null"),
    )

    @settings(EXAMPLES, max_examples=40)
    @given(literals, literals)
    def agree(one: str, other: str) -> None:
        expected = matching_in_python(f"a = {one}", stored_images)
        assert matching(f"a = {one}") == matching(f"a in ({one})") == expected
        assert matching(f"a != {one}") == matching(f"a not in ({one})") == sorted(stored_images.keys() - set(expected))
        both = matching_in_python(f"a in ({one}, {other})", stored_images)
        assert matching(f"a in ({one}, {other})") == matching(f"a = {one} or a = {other}") == both
        assert matching(f"tags has {one}") == matching_in_python(f"tags has {one}", stored_images)

    matching = blocking(store, name)
    await asyncio.to_thread(agree)
    await store.drop(name)


async def test_any_key_can_be_asked_for(store: ImageStore, name: str) -> None:
    """A key of any characters, at any level, finds the image that has it, and no other."""
    await store.create(a_collection(name))
    embeddings = unit_embeddings(2)
    await put(store, name, new_image("other", embeddings[1], {"x": 1}))

    @settings(EXAMPLES, max_examples=25)
    @given(st.lists(keys, min_size=1, max_size=3), st.booleans())
    def found(path: list[str], in_list: bool) -> None:  # noqa: FBT001 - hypothesis passes by position
        value: Any = ["x"] if in_list else "x"
        metadata = {path[0]: reduce(lambda inner, key: {key: inner}, reversed(path[1:]), value)}
        run(put(store, name, new_image("this", embeddings[0], checked(metadata))))
        text = ".".join(map(key_quoted, path))
        for condition in (f"{text} has 'x'" if in_list else f"{text} = 'x'", f"exists {text}"):
            assert matching(condition) == [image_id_of("this")]
            assert matching(f"not {condition}") == [image_id_of("other")]

    matching, run = blocking(store, name), running(asyncio.get_running_loop())
    await asyncio.to_thread(found)
    await store.drop(name)


async def test_rows_of_earlier_releases_are_found(
    store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were stored in decomposed form and do not name the items of their lists match as others do."""
    await store.create(a_collection(name))
    embeddings = unit_embeddings(2)
    old = {DECOMPOSED: DECOMPOSED, "list": [DECOMPOSED, 5], "c": {DECOMPOSED: True}}
    monkeypatch.setattr(rows, "kinds_of", kinds_of_earlier_releases)
    await put(store, name, new_image("old", embeddings[0], old))
    monkeypatch.undo()
    await put(store, name, new_image("new", embeddings[1], checked(old)))

    both = sorted(map(image_id_of, ("old", "new")))
    for text in (
        f"{COMPOSED} = '{DECOMPOSED}'",
        f"{DECOMPOSED} in ('{COMPOSED}', 5)",
        f"{COMPOSED} like 'caf\u00e9%'",
        f"list has '{COMPOSED}' and list has 5",
        f"exists c.{COMPOSED} and c.{COMPOSED} != false",
        f"not ({COMPOSED} != '{COMPOSED}')",
    ):
        assert await store.ids_matching(name, text) == both, text
    assert await store.ids_matching(name, f"{COMPOSED} != '{COMPOSED}'") == []
    assert image_id_of("old") not in await store.ids_matching(name, "not list has 5")
    await store.drop(name)


async def test_exif_is_filtered_and_survives_a_rebuild(fragile: ImageStore, redis: EmbeddedServer, name: str) -> None:
    """What a camera wrote is found by filters, read with the image, and known again from its rows alone."""
    embeddings = unit_embeddings(3)
    images = [new_image(uri, embedding, {"taken": "never"}) for uri, embedding in zip("abc", embeddings, strict=True)]
    await put(fragile, name, images[0], *(replace(image, exif=EXIFS[i]) for i, image in enumerate(images[1:], 1)))

    for _ in range(2):
        for text, expected in {
            "$taken >= '2024-05-01'": "bc",
            "$taken <= '2024-05-01'": "b",
            "$taken = '2024-05-02' and $lens = 'ab'": "c",
            "not exists $taken": "a",
            "$camera != 'a'": "ac",
            "$latitude > 48": "c",
            "$taken in ('2023', '2024-05')": "bc",
            "taken = 'never'": "abc",
        }.items():
            assert await fragile.ids_matching(name, text) == sorted(map(image_id_of, expected)), text
        assert [record.exif for record in await fragile.lookup(name, ["a", "b", "c"]) if record] == [*EXIFS[:3]]
        async with Redis.from_url(redis.url) as client:
            await client.flushall()


async def test_built_in_fields_are_not_metadata(store: ImageStore, name: str) -> None:
    """`$label` and `$score` are the detection's, `label` and `score` the caller's, in searches, listings and deletions."""
    await store.create(a_collection(name, CollectionMode.OBJECTS))
    embeddings = unit_embeddings(2)
    regions = [[Detection((0.1, 0.1, 0.5, 0.5), "dog", 0.75, 0)], [Detection((0.1, 0.1, 0.5, 0.5), "cat", 0.25, 0)]]
    images = [
        new_image("a", embeddings[:1], {"label": "cat", "score": 0.25}, regions=regions[0]),
        new_image("b", embeddings[1:], {"label": "dog", "score": 0.75}, regions=regions[1]),
    ]
    await put(store, name, *images)

    for text, expected in {
        "$label = 'dog' and $score > 0.5": "a",
        "label = 'dog' and score > 0.5": "b",
        "$uri = 'a' and $width_px = 640": "a",
        "`label` = 'cat'": "a",
    }.items():
        found = await find(store, name, embeddings[0], filter=text)
        assert [hit.record.uri for hit in found.hits] == [expected], text
        assert await store.ids_matching(name, text) == [image_id_of(expected)]
    assert (await find(store, name, embeddings[0], filter="label = 'x'")).warnings == (
        "filter: label is the metadata key label; for the built-in field write $label",
    )
    assert (await find(store, name, embeddings[0], filter="$label = 'x'")).warnings == ()
    await store.drop(name)


def kinds_of_earlier_releases(metadata: dict[str, Any]) -> dict[str, Any]:
    """The kinds as they were written before lists named their items."""
    kinds = kinds_of({key: value for key, value in metadata.items() if not isinstance(value, list)})
    return kinds | {key: "other" for key, value in metadata.items() if isinstance(value, list)}


keys = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
    st.sampled_from(
        ["=", "==", "0", "1", "-", "a.b", "$uri", "a b", "[0]", '"', "\\", "`", "/", "~", "~1", "e\u0301", "not"]
    ),
)


def key_quoted(key: str) -> str:
    """A key as a user writes it."""
    return "`" + key.replace("\\", "\\\\").replace("`", "\\`") + "`"


def matching_in_python(text: str, stored_images: dict[str, dict[str, Any]]) -> list[str]:
    """The ids of the images that match by the filter's definition."""
    tree = parse_filter(text)
    assert tree is not None
    return sorted(image_id for image_id, fields in stored_images.items() if holds(tree, fields))


def running(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs what a thread needs of the store on the store's loop."""
    return lambda call: asyncio.run_coroutine_threadsafe(call, loop).result(30)


def blocking(store: ImageStore, name: str) -> Callable[[str], list[str]]:
    """The ids that match a filter, for a thread."""
    run = running(asyncio.get_running_loop())
    return lambda text: run(store.ids_matching(name, text))


async def test_long_filters_work(store: ImageStore, name: str, stored_images: dict[str, dict[str, Any]]) -> None:
    """A filter as long as is allowed is answered, chains and lists alike."""
    chain = " or ".join(f"b={i}" for i in range(400))
    items = ",".join(str(i) for i in range(1000))

    for text in (chain, f"b in ({items})", f"not ({chain})", "(" * 19 + "b=1" + ")" * 19):
        assert await store.ids_matching(name, text) == matching_in_python(text, stored_images)
    await store.drop(name)


async def test_texts_cannot_break_out(store: ImageStore, name: str, stored_images: dict[str, dict[str, Any]]) -> None:
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
            image_id for image_id, fields in stored_images.items() if fields["metadata"].get("a") == attack
        ]
    await store.drop(name)
