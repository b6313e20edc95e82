"""Files are grouped by reason, in bounded memory."""

from sources.file_groups import FileGroup, FilesByReason


def test_the_largest_group_comes_first() -> None:
    """Every file is counted; as many are named as asked for."""
    files = FilesByReason()
    for uri, reason in (("a", "small"), ("b", "large"), ("c", "large")):
        files.add(uri, reason)

    assert files.listed(named=1) == (FileGroup("large", 2, ("b",)), FileGroup("small", 1, ("a",)))
    assert files.count == 3


def test_many_reasons_and_files_are_bounded() -> None:
    """After a hundred reasons, further ones share a group; after a thousand files of a reason, further ones are counted."""
    files = FilesByReason()
    for number in range(2000):
        files.add(str(number), "frequent")
        files.add(str(number), f"reason {number}")

    groups = {group.reason: group for group in files.listed()}

    assert (len(groups), files.count) == (101, 4000)
    assert (groups["frequent"].count, len(groups["frequent"].uris)) == (2000, 1000)


def test_names_are_printable() -> None:
    """A name on disk that is not UTF-8 can be shown on every terminal."""
    files = FilesByReason()
    files.add("a\udcff.jpg", "broken")

    assert files.listed()[0].uris == (r"a\xff.jpg",)
