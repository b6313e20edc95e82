from pathlib import Path

import pytest

from encoders.errors import BundleError
from encoders.importers.darknet.cfg import parse_cfg
from training.objects.detector import fitted_cfg

TINY = Path(__file__).parents[3] / "training" / "configs" / "objects_tiny.cfg"
REALDATA = Path(__file__).parents[4] / "shared" / "realdata" / "detector"


def test_a_network_is_fitted_to_other_classes() -> None:
    """Heads, the filters that feed them and the input change, the rest stays, comments too."""
    text = TINY.read_text()
    network = parse_cfg(fitted_cfg(text, class_count=5, size_px=96))

    assert (network.input.width, network.input.height) == (96, 96)
    assert [head.classes for head in network.heads] == [5, 5]
    assert [network.layers[head.number - 1].shape.channels for head in network.heads] == [30, 30]
    assert fitted_cfg(text, class_count=13, size_px=256).split() == text.split()


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the .cfg files of ../shared/realdata")
@pytest.mark.parametrize("name", ["yolov3", "yolov3-tiny", "yolov3-spp"])
def test_published_networks_are_fitted(name: str) -> None:
    """VOC's twenty classes in a file of COCO's eighty."""
    network = parse_cfg(fitted_cfg((REALDATA / f"{name}.cfg").read_text(), class_count=20, size_px=416))
    assert {head.classes for head in network.heads} == {20}
    assert {network.layers[head.number - 1].shape.channels for head in network.heads} == {75}


def test_a_head_without_its_convolution_is_refused() -> None:
    """With the line of the head."""
    with pytest.raises(BundleError, match=r"line 4, \[yolo\]: no convolution"):
        fitted_cfg("[net]\nwidth=32\nheight=32\n[yolo]\nanchors=1,1\nclasses=1\n", class_count=2, size_px=32)
