import httpx

from tests.gateway.system import System


async def test_folders_are_listed_below_the_roots(http: httpx.AsyncClient, system: System, name: str) -> None:
    """The roots first, then what is in each, without links and hidden folders."""
    folder = system.root / name
    for path in (folder / "b", folder / "a" / "deeper", folder / ".hidden"):
        path.mkdir(parents=True)
    (folder / "link").symlink_to(folder / "a")
    (folder / "file.png").write_bytes(b"")

    assert (await http.get("/folders")).json() == {"path": "", "folders": [str(system.root.resolve())]}
    listed = (await http.get("/folders", params={"path": str(folder)})).json()
    assert listed == {"path": str(folder), "folders": [str(folder / "a"), str(folder / "b")]}


async def test_other_folders_are_refused(http: httpx.AsyncClient, system: System, name: str) -> None:
    """What is outside is not listed, whether it exists or not; what is missing or a file says so."""
    folder = system.root / name
    folder.mkdir()
    (folder / "file.png").write_bytes(b"")
    for path, status in (
        ("/etc", 403),
        ("/nowhere", 403),
        (f"{folder}/..", 403),
        (f"{folder}/gone", 404),
        (f"{folder}/file.png", 400),
    ):
        answer = await http.get("/folders", params={"path": path})
        assert (path, answer.status_code) == (path, status)
