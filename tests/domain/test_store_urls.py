"""URLs of stores: several hosts, and what may be shown of them."""

import pytest

from domain.store_urls import StoreUrl, without_secrets


def test_a_url_names_several_hosts() -> None:
    """Ports may be left out, and IPv6 addresses stand in brackets."""
    url = StoreUrl.parse("redis+cluster://user:p%40ss@a:1,[::1]:2,b/0?ssl_ca_certs=/ca.pem")
    assert url.addresses == (("a", 1), ("::1", 2), ("b", 0))
    assert (url.scheme, url.login, url.path, url.query) == (
        "redis+cluster",
        "user:p%40ss",
        "/0",
        "ssl_ca_certs=/ca.pem",
    )
    assert StoreUrl.parse("unix:///run/a%20b.sock").addresses == ()
    assert StoreUrl.parse("unix:///run/a%20b.sock").path == "/run/a b.sock"


@pytest.mark.parametrize("url", ["redis://a,,b", "redis://a:many", "redis://a:99999", "redis://user@:1,b"])
def test_urls_that_cannot_be_read(url: str) -> None:
    """An empty host and a port that is not one are refused."""
    with pytest.raises(ValueError, match=r"host|[Pp]ort"):
        StoreUrl.parse(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:secret@host", "redis://:***@host"),
        ("rediss+cluster://u:secret@a:1,b:2", "rediss+cluster://u:***@a:1,b:2"),
        ("redis+sentinel://a/n?sentinel_password=secret&db=1", "redis+sentinel://a/n?sentinel_password=***&db=1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock?password=***"),
        ("https://secret@host:19530/db", "https://***@host:19530/db"),
        ("http://root:secret@host", "http://root:***@host"),
        ("http://host:19530", "http://host:19530"),
    ],
)
def test_passwords_and_tokens_are_not_shown(url: str, shown: str) -> None:
    """The user, the hosts and the rest stay."""
    assert without_secrets(url) == shown
