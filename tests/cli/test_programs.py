import json
from pathlib import Path

import pytest
import typer

from cli.child_process import Program
from cli.options import SystemOptions, parse_fronts
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


@pytest.mark.parametrize("fronts", ["4", "auto"])
def test_fronts_are_those_of_each_encoder(tmp_path: Path, bundles: list[Bundle], fronts: str) -> None:
    """`--fronts` reaches every encoder process; without it the encoders' own setting counts."""
    asked = encoders_of(SystemOptions(data=tmp_path, fronts=fronts), bundles)
    not_asked = encoders_of(SystemOptions(data=tmp_path), bundles)

    assert {program.environment["FOVEA_ENCODER_FRONTS"] for program in asked.values()} == {fronts}
    assert not any("FOVEA_ENCODER_FRONTS" in program.environment for program in not_asked.values())


@pytest.mark.parametrize("fronts", ["0", "65", "many", "-1", "1.5"])
def test_a_number_of_fronts_that_no_encoder_has_is_refused(fronts: str) -> None:
    """Before anything is started."""
    with pytest.raises(typer.BadParameter, match="1 to 64, or auto"):
        parse_fronts(fronts)
