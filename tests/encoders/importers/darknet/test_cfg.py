from pathlib import Path

import pytest

from encoders.errors import BundleError
from encoders.importers.darknet.cfg import parse_cfg, read_cfg
from encoders.importers.darknet.layers import Convolutional, MaxPool, Route, Shape, Shortcut
from encoders.importers.darknet.weights import float_count

DETECTOR = Path(__file__).parents[5] / "shared" / "realdata" / "detector"
NET = "[net]\nwidth=32\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"


def test_comments_spaces_and_order_do_not_matter() -> None:
    """Darknet's habits are read: comments, spaces around `=`, repeated sections, options nobody needs."""
    network = parse_cfg(
        "# a comment\n[net] ; another\n width = 32\nheight=16\nlearning_rate=0.001\n\n"
        "[convolutional]\nbatch_normalize = 1 # inline\nfilters= 8\nsize=3\nstride=2\npad=1\nactivation = leaky\n"
        "[convolutional]\nfilters=4\n"
    )

    first, second = network.convolutions
    assert network.input == Shape(3, 16, 32)
    assert (first.batch_normalize, first.padding, first.shape) == (True, 1, Shape(8, 8, 16))
    assert (second.size, second.activation, second.shape) == (1, "logistic", Shape(4, 8, 16))


def test_pad_means_half_the_kernel() -> None:
    """`pad=1` pads by size // 2; `padding` counts where pad is absent."""
    text = NET + "[convolutional]\nfilters=1\nsize=5\npad=1\n[convolutional]\nfilters=1\nsize=5\npadding=1\n"

    assert [layer.padding for layer in parse_cfg(text).convolutions] == [2, 1]


def test_references_may_be_relative() -> None:
    """Negative layers count back from the layer itself, others from the first layer after [net]."""
    network = parse_cfg(NET + CONV + CONV + "[shortcut]\nfrom=-2\n[route]\nlayers=-1, 0\n[route]\nlayers=1\n")

    shortcut, first, second = network.layers[2:]
    assert isinstance(shortcut, Shortcut)
    assert isinstance(first, Route)
    assert isinstance(second, Route)
    assert (shortcut.sources, first.sources, second.sources) == ((0,), (2, 0), (1,))
    assert (first.shape.channels, second.shape.channels) == (16, 8)


def test_route_reads_one_group() -> None:
    """`groups` and `group_id` take that part of the channels."""
    route = parse_cfg(NET + CONV + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n").layers[1]

    assert isinstance(route, Route)
    assert (route.groups, route.group_id, route.shape.channels) == (2, 1, 4)


@pytest.mark.parametrize(
    ("size", "stride", "shape"), [(2, 2, (8, 16)), (2, 1, (16, 32)), (5, 1, (16, 32)), (3, 2, (8, 16))]
)
def test_maxpool_keeps_the_size_that_darknet_keeps(size: int, stride: int, shape: tuple[int, int]) -> None:
    """Without `padding` a pool is padded by size - 1, so that stride 1 keeps the size."""
    pool = parse_cfg(NET + f"[maxpool]\nsize={size}\nstride={stride}\n").layers[0]

    assert isinstance(pool, MaxPool)
    assert (pool.shape.height, pool.shape.width) == shape


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"starts with \[net\]"),
        ("[convolutional]\n", r"starts with \[net\]"),
        ("width=3\n", "line 1: width stands before"),
        ("[net\n", "line 1: a section looks like"),
        (NET, "no layer follows"),
        ("[net]\nheight=32\n" + CONV, r"line 1, \[net\]: width is missing"),
        ("[net]\nwidth=0\nheight=32\n" + CONV, "line 2.*width=0 is not between 1 and 4096"),
        ("[net]\nwidth=many\nheight=32\n" + CONV, "line 2.*width=many must be whole numbers"),
        (NET + "[convolutional]\nfilters\n", "line 6: expected key=value"),
        (NET + "[convolutional]\nfilters=-1\n", "line 6.*filters=-1"),
        (NET + "[convolutional]\nfilters=8\ngroups=2\n", "line 5.*cannot be cut into groups=2"),
        (NET + "[convolutional]\nsize=99\n", "line 5.*size=99 does not fit"),
        (NET + "[convolutional]\nactivation=selu\n", "line 6.*activation=selu is not supported"),
        (NET + "[convolutional]\ndilation=2\n", "line 6.*dilation=2 is not supported"),
        (NET + "[lstm]\n", r"line 5, \[lstm\]: this layer is not supported"),
        (NET + CONV + "[shortcut]\nfrom=-3\n", "line 11.*before this one, which is number 1"),
        (NET + CONV + "[shortcut]\nfrom=0,7\n", "line 11.*before this one"),
        (NET + CONV + CONV.replace("8", "4") + "[shortcut]\nfrom=0\n", "layer 0 has the shape 8x16x32, .* 4x16x32"),
        (NET + CONV + "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=0,1\n", "cannot be put side by side"),
        (NET + CONV + "[route]\nlayers=0\ngroups=3\n", "8 channels cannot be cut into groups=3"),
        (NET + CONV + "[upsample]\nstride=32\n" * 3, "more than 4096"),
        (NET + CONV + "[yolo]\nclasses=1\nanchors=1,2,3,4\n", "has 8 channels; 2 anchors of 1 classes need 12"),
        (NET + CONV + "[yolo]\nclasses=3\nanchors=1,2,3\n", "pairs of width and height"),
        (NET + CONV + "[yolo]\nclasses=3\nanchors=1,inf\n", "must be finite"),
        (NET + CONV + "[yolo]\nclasses=3\nanchors=1,2\nmask=1\n", "mask must choose among the 1 anchors"),
        (NET + CONV + "[yolo]\nclasses=3\nanchors=1,2\nnew_coords=1\n", "new_coords=1 is not supported"),
    ],
)
def test_error_names_the_line(text: str, words: str) -> None:
    """Whatever is wrong with a .cfg is one line with the number of the line."""
    with pytest.raises(BundleError, match=words) as caught:
        parse_cfg(text)

    assert "line " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_error_names_the_file(tmp_path: Path) -> None:
    """A broken file is named before its line."""
    path = tmp_path / "broken.cfg"
    path.write_text(NET + "[lstm]\n")

    with pytest.raises(BundleError, match=r"broken\.cfg, line 5"):
        read_cfg(path)


@pytest.mark.realdata
@pytest.mark.skipif(not DETECTOR.is_dir(), reason="needs ../shared/realdata/detector")
def test_yolov3_has_its_published_size() -> None:
    """yolov3.cfg has 75 convolutions, 72 of them normalised, and 62,001,757 floats; its backbone 40,620,640."""
    network = read_cfg(DETECTOR / "yolov3.cfg")

    assert len(network.convolutions) == 75
    assert sum(layer.batch_normalize for layer in network.convolutions) == 72
    assert float_count(network) == 62_001_757
    assert 20 + 4 * float_count(network) == 248_007_048
    assert float_count(network, cutoff=75) == 40_620_640
    assert [head.number for head in network.heads] == [82, 94, 106]
    taps = [network.layers[index].shape for index in (36, 61, 74)]
    assert taps == [Shape(256, 52, 52), Shape(512, 26, 26), Shape(1024, 13, 13)]
    assert isinstance(network.layers[0], Convolutional)
