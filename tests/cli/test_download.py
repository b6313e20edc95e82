import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cli.download import MAX_REDIRECTS, WebFile
from cli.errors import CommandFailed

CONTENT = b"the weights of a network" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "https://weights.example/files/99.pth.tar"


def web(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    """All hosts there are."""
    return httpx.MockTransport(answer)


def whole(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=iter([CONTENT]))


def redirecting(**targets: str) -> Callable[[httpx.Request], httpx.Response]:
    """A web where the first part of a host's name says where it leads; others have the file."""

    def answer(request: httpx.Request) -> httpx.Response:
        target = targets.get(request.url.host.split(".")[0])
        return httpx.Response(302, headers={"Location": target}) if target else whole(request)

    return answer


def test_the_right_bytes_arrive(tmp_path: Path) -> None:
    """Under the name that the address ends in."""
    path = WebFile(f"{URL}?token=x", SHA256).download(tmp_path, transport=web(whole))

    assert path == tmp_path / "99.pth.tar"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("a/b/model.onnx", "model.onnx"),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        (".hidden", "hidden"),
        ("w%C3%A4hler model.ep18", "w_hler_model.ep18"),
        ("", "model"),
        ("..", "model"),
        ("-rf", "rf"),
        ("x" * 300 + ".pt", "x" * 97 + ".pt"),
    ],
)
def test_names_are_harmless(end: str, name: str) -> None:
    """Nothing in an address leads out of the folder, hides, or looks like an option."""
    assert WebFile(f"https://weights.example/{end}", SHA256).name == name


def test_another_file_is_refused(tmp_path: Path) -> None:
    """One wrong byte is reported with both hashes."""
    with pytest.raises(CommandFailed, match=rf"is another file: its SHA-256 is {SHA256}, not 0000"):
        WebFile(URL, "0" * 64).download(tmp_path, transport=web(whole))


def test_a_redirect_within_https_is_followed(tmp_path: Path) -> None:
    """As file hosts send to their caches."""
    transport = web(redirecting(weights="https://cache.example/blob"))

    assert WebFile(URL, SHA256).download(tmp_path, transport=transport).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "target",
    [
        "http://cache.example/blob",
        "http://127.0.0.1:6379/",
        "http://localhost/admin",
        "ftp://cache.example/blob",
        "file:///etc/passwd",
        "https://name:password@cache.example/blob",
    ],
)
def test_a_redirect_that_leaves_https_is_refused(tmp_path: Path, target: str) -> None:
    """Above all none leads from outside to a server of this machine."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return redirecting(weights=target)(request)

    with pytest.raises(CommandFailed):
        WebFile(URL, SHA256).download(tmp_path, transport=web(answer))

    assert asked == ["weights.example"]
    assert list(tmp_path.iterdir()) == []


def test_redirects_end(tmp_path: Path) -> None:
    """A host that leads to itself is asked a few times only."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": URL})

    with pytest.raises(CommandFailed, match="cannot be fetched"):
        WebFile(URL, SHA256).download(tmp_path, transport=web(answer))

    assert len(asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://weights.example/a.pt", "only https is"),
        ("http://10.0.0.1/a.pt", "only https is"),
        ("file:///etc/passwd", "names no host"),
        ("ftp://weights.example/a.pt", "only https is"),
        ("https://name:password@weights.example/a.pt", "holds a name or a password"),
        ("https://", "names no host"),
        ("https://[::1/a.pt", "is not an address"),
    ],
)
def test_addresses_that_are_never_asked(url: str, complaint: str) -> None:
    """Only https leads anywhere, and secrets do not belong in an address."""
    with pytest.raises(CommandFailed, match=complaint) as refused:
        WebFile(url, SHA256)

    assert ":password" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:9", "127.0.0.53"])
def test_this_machine_may_be_asked_over_http(tmp_path: Path, host: str) -> None:
    """Files served on this machine need no certificate."""
    file = WebFile(f"http://{host}/99.pth.tar", SHA256)

    assert file.download(tmp_path, transport=web(whole)).read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", ["", "00", "g" * 64, SHA256.upper()])
def test_a_hash_is_required(sha256: str) -> None:
    """64 hex digits and nothing else."""
    with pytest.raises(CommandFailed, match="--sha256"):
        WebFile(URL, sha256)


def test_too_much_is_cut_off(tmp_path: Path) -> None:
    """Announced or not, more bytes than the limit are not read."""
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            sent.append(1)
            yield CONTENT

    file = WebFile(URL, SHA256, max_bytes=5 * len(CONTENT))

    with pytest.raises(CommandFailed, match="more than 120,000 bytes"):
        file.download(tmp_path, transport=web(lambda _: httpx.Response(200, content=endless())))
    assert len(sent) < 100

    announced = {"Content-Length": "9999999999"}
    sent.clear()
    with pytest.raises(CommandFailed, match="more than 120,000 bytes"):
        file.download(tmp_path, transport=web(lambda _: httpx.Response(200, headers=announced, content=endless())))
    assert not sent


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda _: httpx.Response(404), "answered 404 Not Found"),
        (lambda _: httpx.Response(206, content=CONTENT), "answered 206"),
    ],
)
def test_other_answers_are_reported(
    tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response], complaint: str
) -> None:
    """With the status that came."""
    with pytest.raises(CommandFailed, match=complaint):
        WebFile(URL, SHA256).download(tmp_path, transport=web(answer))


@pytest.mark.parametrize("error", [httpx.ConnectError("Name or service\nnot known"), httpx.ReadTimeout("")])
def test_no_connection_is_one_line(tmp_path: Path, error: httpx.HTTPError) -> None:
    """It says what can be done without one."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(CommandFailed, match="fovea models import") as failed:
        WebFile(URL, SHA256).download(tmp_path, transport=web(answer))

    assert "\n" not in str(failed.value)
