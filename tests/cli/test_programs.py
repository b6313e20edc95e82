import json
from pathlib import Path

import pytest

from cli.child_process import Program
from cli.options import SystemOptions
from cli.programs import assign_addresses, encoder_processes, programs
from encoders.bundle import Bundle
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    """A detector between two encoders by name."""
    return [
        tiny_image_bundle(tmp_path / "a", "a"),
        tiny_detector_bundle(tmp_path / "b", "b"),
        tiny_text_bundle(tmp_path / "c", "c"),
    ]


def encoders_of(options: SystemOptions, bundles: list[Bundle]) -> dict[str, Program]:
    """The encoder processes of a system by name."""
    processes = encoder_processes(options, bundles)
    system = assign_addresses(options, 0, processes)
    return {each.name: each for each in programs(options, processes, system) if each.name.startswith("encoder")}


def served_by(program: Program) -> list[str]:
    """The names of the bundles that a process serves."""
    return [Path(folder).name for folder in json.loads(program.environment["FOVEA_ENCODER_BUNDLES"])]


def test_one_process_embeds_and_one_detects(tmp_path: Path, bundles: list[Bundle]) -> None:
    """Two processes serve everything; `run.json` has the address of each bundle, and the services call each process once."""
    options = SystemOptions(data=tmp_path)
    processes = encoder_processes(options, bundles)
    system = assign_addresses(options, 0, processes)
    by_name = {program.name: program for program in programs(options, processes, system)}

    assert served_by(by_name["encoder-embedding"]) == ["a", "c"]
    assert served_by(by_name["encoder-detecting"]) == ["b"]
    assert system.encoders["a"] == system.encoders["c"] == by_name["encoder-embedding"].address
    assert system.encoders["b"] == by_name["encoder-detecting"].address
    targets = json.loads(by_name["search"].environment["FOVEA_SEARCH_ENCODERS"])
    assert targets == [by_name["encoder-embedding"].address, by_name["encoder-detecting"].address]


def test_a_process_for_each_bundle_on_request(tmp_path: Path, bundles: list[Bundle]) -> None:
    """With `--process-per-bundle` each bundle has its own process."""
    encoders = encoders_of(SystemOptions(data=tmp_path, process_per_bundle=True), bundles)

    assert {name: served_by(program) for name, program in encoders.items()} == {
        "encoder-a": ["a"],
        "encoder-b": ["b"],
        "encoder-c": ["c"],
    }
    assert len({program.address for program in encoders.values()}) == 3


def test_no_process_without_bundles(tmp_path: Path, bundles: list[Bundle]) -> None:
    """Where nothing detects there is no process for it."""
    assert list(encoders_of(SystemOptions(data=tmp_path), bundles[:1])) == ["encoder-embedding"]
