from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from training.datasets.car_names import load_car_names
from training.datasets.compcars import FRONT_VIEWS, REAR_VIEWS, Viewpoint, load_surveillance_cars, load_web_cars
from training.datasets.report import DatasetError, FaultKind

WriteImage = Callable[..., Path]
WriteCar = Callable[..., None]


def cells(rows: list[list[object]]) -> NDArray[np.object_]:
    """A MATLAB cell array; an empty text becomes an empty cell."""
    array = np.empty((len(rows), len(rows[0])), object)
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            array[row, column] = value
    return array


@pytest.fixture
def write_car(tmp_path: Path, write_image: WriteImage) -> WriteCar:
    """Writes a web photo of 20 x 10 pixels and its label."""
    for folder in ("data/image", "data/label", "data/train_test_split/classification", "data/misc", "sv_data/image"):
        (tmp_path / folder).mkdir(parents=True)

    def write(name: str, label: str | None = "4\n1\n3 2 18 9\n") -> None:
        write_image(f"data/image/{name}.jpg", (20, 10))
        path = tmp_path / f"data/label/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if label is not None:
            path.write_text(label)

    return write


def write_surveillance_names(root: Path, *model_ids: int) -> None:
    rows: list[list[object]] = [["Audi", f"A{number}", np.array([[number]])] for number in model_ids]
    savemat(root / "sv_data/sv_make_model_name.mat", {"sv_make_model_name": cells(rows)})


def test_web_photos_are_read_in_sorted_order(tmp_path: Path, write_car: WriteCar) -> None:
    """Whatever order the folder lists; make, model and year come from the path, the box counts pixels from 1."""
    write_car("78/3/2014/b", "1\n1\n1 1 20 10")
    write_car("78/1/unknown/a")
    write_car("9/2/2010/c", "-1\n1\n3 2 18 9\n")

    cars = load_web_cars(tmp_path, expected={"photos": 3, "models": 3})

    assert [car.name for car in cars.cars] == ["78/1/unknown/a.jpg", "78/3/2014/b.jpg", "9/2/2010/c.jpg"]
    first, second, third = cars.cars
    assert (first.make_id, first.model_id, first.year, second.year) == (78, 1, None, 2014)
    assert first.box == pytest.approx((0.1, 0.1, 0.9, 0.9))
    assert second.box == (0, 0, 1, 1)
    assert third.viewpoint is Viewpoint.UNKNOWN
    assert cars.seen_from(*FRONT_VIEWS) == (first, second)
    assert cars.seen_from(*REAR_VIEWS) == ()


def test_an_official_list_chooses_and_orders(tmp_path: Path, write_car: WriteCar) -> None:
    """Files that it names and nobody has are reported by line, as are names that lead elsewhere."""
    for name in ("78/1/2014/a", "78/1/2014/b", "78/1/2014/c"):
        write_car(name)
    lines = ("c.jpg", "a.jpg", "gone.jpg", "a.jpg", "../../../../label/78/1/2014/a.txt")
    path = tmp_path / "data/train_test_split/classification/train.txt"
    path.write_text("".join(f"78/1/2014/{line}\r\n" for line in lines))

    with pytest.raises(DatasetError, match=r"train.txt, line 3: missing file: data/image/78/1/2014/gone.jpg"):
        load_web_cars(tmp_path, split="classification/train")
    cars = load_web_cars(tmp_path, split="classification/train", allow_incomplete=True)

    assert [car.path.name for car in cars.cars] == ["c.jpg", "a.jpg"]
    assert cars.report.how_many() == {FaultKind.MISSING_FILE: 1, FaultKind.DUPLICATE: 1, FaultKind.OUTSIDE_ROOT: 1}


def test_every_planted_fault_of_web_photos_is_reported(tmp_path: Path, write_car: WriteCar) -> None:
    """A box that reaches outside is cut; photos with a broken label or no label are left out."""
    write_car("1/1/2014/good")
    write_car("1/1/2014/reaching", "4\n1\n3 2 40 9\n")
    write_car("1/1/2014/outside", "4\n1\n30 2 40 9\n")
    write_car("1/1/2014/view", "7\n1\n3 2 18 9\n")
    write_car("1/1/2014/count", "4\n2\n3 2 18 9\n")
    write_car("1/1/2014/short", "4\n1\n")
    write_car("1/1/2014/text", "4\n1\n3 2 18 x\n")
    write_car("1/1/2014/unlabelled", None)
    write_car("1/1/2014/truncated")
    (tmp_path / "data/image/1/1/2014/truncated.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    write_car("1/1/2014/unphotographed")
    (tmp_path / "data/image/1/1/2014/unphotographed.jpg").unlink()
    write_car("make/1/2014/named")

    cars = load_web_cars(tmp_path, allow_incomplete=True)

    assert [car.path.stem for car in cars.cars] == ["good", "reaching"]
    assert cars.cars[1].box[2] == 1
    assert cars.report.how_many() == {
        FaultKind.BOX_OUTSIDE: 2,
        FaultKind.BAD_RECORD: 3,
        FaultKind.WRONG_COUNT: 1,
        FaultKind.BROKEN_FILE: 2,
        FaultKind.MISSING_FILE: 2,
    }
    with pytest.raises(DatasetError, match="announces 2 boxes and holds 1"):
        load_web_cars(tmp_path)


def test_surveillance_photos_get_the_web_models(tmp_path: Path, write_car: WriteCar, write_image: WriteImage) -> None:
    """A folder's number is a row of the MATLAB file, whose third cell is the model id; lists choose."""
    write_surveillance_names(tmp_path, 2013, 77)
    for name in ("2/a.jpg", "1/b.jpg", "3/c.jpg"):
        write_image(f"sv_data/image/{name}")
    (tmp_path / "sv_data/test_surveillance.txt").write_text("2/a.jpg\n")

    assert [car.model_id for car in load_surveillance_cars(tmp_path, split="test").cars] == [77]
    with pytest.raises(DatasetError, match="no row for folder 3"):
        load_surveillance_cars(tmp_path)
    cars = load_surveillance_cars(tmp_path, allow_incomplete=True)
    assert [(car.name, car.sv_id, car.model_id) for car in cars.cars] == [("1/b.jpg", 1, 2013), ("2/a.jpg", 2, 77)]


@pytest.mark.parametrize(
    "content", [b"", b"no MATLAB file", b"MATLAB 7.3 MAT-file" + bytes(105) + b"\x00\x02IM" + bytes(99)]
)
def test_a_broken_matlab_file_is_one_fault(
    tmp_path: Path, write_car: WriteCar, write_image: WriteImage, content: bytes
) -> None:
    """And not one for each photo, whose models nobody can tell."""
    (tmp_path / "sv_data/sv_make_model_name.mat").write_bytes(content)
    for name in ("1/a.jpg", "1/b.jpg"):
        write_image(f"sv_data/image/{name}")

    with pytest.raises(DatasetError, match="Nothing in this dataset") as raised:
        load_surveillance_cars(tmp_path, allow_incomplete=True)
    assert raised.value.report.how_many() == {FaultKind.BROKEN_FILE: 1}


def test_a_truncated_matlab_file_is_reported(tmp_path: Path, write_car: WriteCar, write_image: WriteImage) -> None:
    """Whatever its reader then stumbles into."""
    write_image("sv_data/image/1/a.jpg")
    write_surveillance_names(tmp_path, 7)
    path = tmp_path / "sv_data/sv_make_model_name.mat"
    whole = path.read_bytes()

    for length in range(0, len(whole) - 8, 16):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match="sv_make_model_name"):
            load_surveillance_cars(tmp_path)


def test_names_and_attributes_are_read(tmp_path: Path, write_car: WriteCar) -> None:
    """Ids count from 1, empty cells are not names, and zeros stand for what nobody knows."""
    misc = tmp_path / "data/misc"
    makes, models = cells([["ABT"], ["Citroën"]]), cells([["Audi A1"], [""], ["C4"]])
    savemat(misc / "make_model_name.mat", {"make_names": makes, "model_names": models})
    savemat(misc / "car_type.mat", {"types": cells([["MPV", "SUV"]])})
    head = "model_id maximum_speed displacement door_number seat_number type"
    (misc / "attributes.txt").write_text(f"{head}\n1 235 1.8 5 5 2\n3 0 0 0 0 0\n3 0 0 0 0 0\n4 1\n")

    names = load_car_names(tmp_path, allow_incomplete=True)

    assert names.makes == {1: "ABT", 2: "Citroën"}
    assert names.models == {1: "Audi A1", 3: "C4"}
    assert (names.attributes[1].max_speed_km_h, names.attributes[1].type) == (235, "SUV")
    assert (names.attributes[3].doors, names.attributes[3].type) == (None, None)
    assert [fault.record for fault in names.report.faults] == ["line 4", "line 5"]
