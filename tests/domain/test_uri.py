"""Uris of images."""

import pytest

from domain.limits import MAX_URI_BYTES
from domain.uri import uri_fault


@pytest.mark.parametrize("uri", ["a", "写" * (MAX_URI_BYTES // 3), "\U0001f600.jpg"])
def test_any_text_within_the_limit_is_a_uri(uri: str) -> None:
    """The limit counts bytes."""
    assert uri_fault(uri) == ""


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("", "empty"),
        ("a\0.jpg", "NUL"),
        ("\udcff.jpg", "Unicode"),
        ("é" * (MAX_URI_BYTES // 2) + "a", "4,096 bytes"),
    ],
)
def test_other_texts_are_not(uri: str, fault: str) -> None:
    """The reason reads as the end of a sentence."""
    assert uri_fault(uri).startswith("must ")
    assert fault in uri_fault(uri)
