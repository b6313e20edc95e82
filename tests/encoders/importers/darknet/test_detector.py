from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoders.bundle import Bundle, Preprocessing
from encoders.errors import BundleError
from encoders.importers.darknet.cfg import parse_cfg
from encoders.importers.darknet.detector import import_darknet
from encoders.importers.darknet.layers import Convolutional
from encoders.serving.detection import postprocess
from encoders.serving.session import DetectorSession, RawDetections
from tests.support.darknet import write_network

Floats = NDArray[np.float64]

SIDE_PX = 8
ANCHORS = ((2.0, 3.0), (4.0, 5.0))
LABELS = ("cat", "dog")
NET = f"[net]\nwidth={SIDE_PX}\nheight={SIDE_PX}\nchannels=3\n"
HEAD = "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0,1\nanchors=2,3, 4,5\nclasses=2\nscale_x_y={}\n"
IMAGES = np.random.default_rng(5).integers(0, 256, (2, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def sigmoid(values: Floats) -> Floats:
    positive: Floats = 1 / (1 + np.exp(-values))
    return positive


def leaky(values: Floats) -> Floats:
    return np.where(values > 0, values, 0.1 * values)


def mish(values: Floats) -> Floats:
    squashed: Floats = values * np.tanh(np.log1p(np.exp(values)))
    return squashed


def pooled(size: int, stride: int) -> Callable[[Floats], Floats]:
    """Darknet's loop: windows start (size - 1) // 2 before the image, and what lies outside does not count."""

    def pool(maps: Floats) -> Floats:
        first, side = (size - 1) // 2, (maps.shape[1] - 1) // stride + 1
        answer = np.zeros((len(maps), side, side))
        for y, x in np.ndindex(side, side):
            top, left = y * stride - first, x * stride - first
            window = maps[:, max(0, top) : top + size, max(0, left) : left + size]
            answer[:, y, x] = window.max(axis=(1, 2))
        return answer

    return pool


def decoded(maps: Floats, scale_x_y: float = 1.0) -> tuple[Floats, Floats]:
    """Boxes and scores of raw maps (14, H, W), cell by cell as the papers write it."""
    boxes, scores = [], []
    _, height, width = maps.shape
    for number, (anchor_width, anchor_height) in enumerate(ANCHORS):
        for y, x in np.ndindex(height, width):
            raw = maps[7 * number : 7 * number + 7, y, x]
            centre = sigmoid(raw[:2]) * scale_x_y - (scale_x_y - 1) / 2
            middle = (centre + np.array([x, y])) / [width, height]
            extent = np.exp(raw[2:4]) * [anchor_width, anchor_height] / SIDE_PX
            boxes.append(np.concatenate([middle - extent / 2, middle + extent / 2]))
            scores.append(sigmoid(raw[4]) * sigmoid(raw[5:]))
    return np.array(boxes), np.array(scores)


def imported(folder: Path, cfg: str) -> tuple[Bundle, NDArray[np.float32]]:
    cfg_file, weights, floats = write_network(folder, cfg)
    return import_darknet(weights, cfg=cfg_file, name="a", labels=LABELS, out=folder / "models"), floats


def found(bundle: Bundle, images: NDArray[np.uint8]) -> list[RawDetections]:
    session = DetectorSession(bundle)
    session.warm_up()
    answers = session.run(list(images)).results
    return [answer for answer in answers if isinstance(answer, RawDetections)]


def maps_of(image: NDArray[np.uint8]) -> Floats:
    maps: Floats = image.transpose(2, 0, 1) / 255
    return maps


@pytest.mark.parametrize(
    ("layer", "computed"),
    [
        ("[dropout]\n", lambda maps: maps),
        ("[maxpool]\nsize=2\nstride=2\n", pooled(2, 2)),
        ("[maxpool]\nsize=2\nstride=1\n", pooled(2, 1)),
        ("[maxpool]\nsize=3\nstride=1\n", pooled(3, 1)),
        ("[maxpool]\nsize=5\nstride=2\n", pooled(5, 2)),
        ("[upsample]\nstride=2\n", lambda maps: maps.repeat(2, axis=1).repeat(2, axis=2)),
        ("[dropout]\n[dropout]\n[shortcut]\nfrom=0\nactivation=leaky\n", lambda maps: 2 * maps),
        ("[dropout]\n[shortcut]\nfrom=-1,0\n", lambda maps: 3 * maps),
        ("[dropout]\n[route]\nlayers=0\ngroups=3\ngroup_id=2\n", lambda maps: maps[2:]),
        (
            "[dropout]\n[maxpool]\nsize=3\n[route]\nlayers=-1,0\n",
            lambda maps: np.concatenate([pooled(3, 1)(maps), maps]),
        ),
    ],
)
def test_layer_computes_what_darknet_computes(tmp_path: Path, layer: str, computed: Callable[[Floats], Floats]) -> None:
    """Each kind of layer, before a plain convolution and a head, gives what its definition gives."""
    bundle, floats = imported(tmp_path, NET + layer + HEAD + YOLO.format(1))

    for image, answer in zip(IMAGES, found(bundle, IMAGES), strict=True):
        maps = computed(maps_of(image))
        raw = np.einsum("oc,chw->ohw", floats[14:].reshape(14, -1), maps) + floats[:14, None, None]
        boxes, scores = decoded(raw)
        np.testing.assert_allclose(answer.boxes, boxes, atol=1e-4)
        np.testing.assert_allclose(answer.scores, scores, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "computed"),
    [
        ("linear", lambda values: values),
        ("leaky", leaky),
        ("relu", lambda values: np.maximum(values, 0)),
        ("relu6", lambda values: np.clip(values, 0, 6)),
        ("logistic", sigmoid),
        ("swish", lambda values: values * sigmoid(values)),
        ("mish", mish),
    ],
)
def test_normalised_convolution_and_activation(
    tmp_path: Path, activation: str, computed: Callable[[Floats], Floats]
) -> None:
    """A grouped 3 x 3 convolution of stride 2 with batch normalisation gives what its definition gives."""
    layer = (
        f"[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=2\npad=1\ngroups=3\nactivation={activation}\n"
    )
    bundle, floats = imported(tmp_path, NET + layer + HEAD + YOLO.format(1.2))
    bias, scale, mean, variance = floats[:24].reshape(4, 6, 1, 1).astype(float)
    kernel, head = floats[24:78].reshape(6, 3, 3), floats[78:]

    for image, answer in zip(IMAGES, found(bundle, IMAGES), strict=True):
        padded = np.pad(maps_of(image), ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
        convolved = np.einsum("ohwyx,oyx->ohw", windows.repeat(2, axis=0), kernel)
        normalised = (convolved - mean) / np.sqrt(variance + 1e-5) * scale + bias
        raw = np.einsum("oc,chw->ohw", head[14:].reshape(14, 6), computed(normalised)) + head[:14, None, None]
        boxes, scores = decoded(raw, scale_x_y=1.2)
        np.testing.assert_allclose(answer.boxes, boxes, atol=1e-4)
        np.testing.assert_allclose(answer.scores, scores, atol=1e-5)


def test_heads_follow_one_another(tmp_path: Path) -> None:
    """The boxes of every head are in one answer, in the order of the file."""
    cfg = NET + HEAD + YOLO.format(1) + "[route]\nlayers=-2\n[maxpool]\nsize=2\nstride=2\n" + YOLO.format(1)

    bundle, floats = imported(tmp_path, cfg)

    answer = found(bundle, IMAGES)[0]
    raw = np.einsum("oc,chw->ohw", floats[14:].reshape(14, 3), maps_of(IMAGES[0])) + floats[:14, None, None]
    boxes = np.concatenate([decoded(raw)[0], decoded(pooled(2, 2)(raw))[0]])
    np.testing.assert_allclose(answer.boxes, boxes, atol=1e-4)


def test_imported_detector_is_served(tmp_path: Path) -> None:
    """The bundle says what a server must know, and its boxes become detections with labels."""
    bundle, _ = imported(tmp_path, NET + HEAD + YOLO.format(1))

    assert (bundle.kind, bundle.labels, bundle.max_batch) == ("detector", LABELS, None)
    assert bundle.preprocessing is not None
    assert (bundle.preprocessing.size, bundle.preprocessing.resize) == ((SIDE_PX, SIDE_PX), "squash")
    detections = postprocess(
        found(bundle, IMAGES)[0],
        labels=bundle.labels,
        image_px=(640, 480),
        preprocessing=bundle.preprocessing,
        min_score=0.01,
        limit=5,
    )
    assert len(detections) == 5


@pytest.mark.parametrize(
    ("line", "asked", "resize"),
    [
        ("", None, "squash"),
        ("letter_box=0\n", None, "squash"),
        ("letter_box=1\n", None, "letterbox"),
        ("", True, "letterbox"),
        ("letter_box=1\n", False, "squash"),
    ],
)
def test_cfg_says_whether_images_are_letterboxed_and_the_caller_decides(
    tmp_path: Path, line: str, *, asked: bool | None, resize: str
) -> None:
    """`letter_box` of the .cfg is obeyed, as AlexeyAB's Darknet does, unless the caller says otherwise."""
    cfg, weights, _ = write_network(tmp_path, NET + line + HEAD + YOLO.format(1))

    bundle = import_darknet(weights, cfg=cfg, name="a", labels=LABELS, out=tmp_path, letterbox=asked)

    assert bundle.image_preprocessing.resize == resize


@given(
    image_px=st.tuples(st.integers(16, 4000), st.integers(16, 4000)),
    corner=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    extent=st.tuples(st.floats(0.1, 0.5), st.floats(0.1, 0.5)),
)
def test_boxes_of_a_letterboxed_detector_are_boxes_of_the_image(
    image_px: tuple[int, int], corner: tuple[float, float], extent: tuple[float, float]
) -> None:
    """A box that lies around something in the padded input lies around the same in the image, whatever its shape."""
    input_px, share = np.array([416, 416]), np.array(image_px) / max(image_px)
    assume(share.min() > 0.05)
    true = np.array([*corner, *np.add(corner, extent)])
    # By hand: the image's longer side fills the input, the shorter one stands in its middle.
    padding = np.tile((1 - share) / 2, 2)
    raw = RawDetections((true * np.tile(share, 2) + padding)[None].astype(np.float32), np.ones((1, 1), np.float32))

    (detection,) = postprocess(
        raw,
        labels=("thing",),
        image_px=image_px,
        preprocessing=Preprocessing(size=(416, 416), resize="letterbox"),
        min_score=0.5,
        limit=1,
    )

    pixel = 1.5 / (input_px * share).min()  # the resized image has whole pixels
    np.testing.assert_allclose(detection.box, true, atol=pixel)


@pytest.mark.parametrize(
    ("cfg", "labels", "words"),
    [
        (NET + HEAD + YOLO.format(1), ("cat",), "2 classes, but there are 1 labels"),
        (NET + HEAD, LABELS, r"no \[yolo\] layer"),
        (NET.replace("channels=3", "channels=1") + HEAD + YOLO.format(1), LABELS, "1 channels; only 3"),
    ],
)
def test_network_that_is_no_detector_of_these_labels_is_refused(
    tmp_path: Path, cfg: str, labels: tuple[str, ...], words: str
) -> None:
    """A .cfg without heads, of another number of classes or for grey images gives one line and no bundle."""
    cfg_file, weights, _ = write_network(tmp_path, cfg)

    with pytest.raises(BundleError, match=words):
        import_darknet(weights, cfg=cfg_file, name="a", labels=labels, out=tmp_path / "models")

    assert not (tmp_path / "models").exists()


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    """Weights that give NaN never become a bundle."""
    cfg, weights, floats = write_network(tmp_path, NET + HEAD + YOLO.format(1))
    weights.write_bytes(weights.read_bytes()[:20] + np.full_like(floats, np.nan).tobytes())

    with pytest.raises(BundleError, match="NaN"):
        import_darknet(weights, cfg=cfg, name="a", labels=LABELS, out=tmp_path / "models")

    assert not list((tmp_path / "models").iterdir())


def test_layers_are_numbered_from_the_first_after_net() -> None:
    """Weights are looked up by the layer's own number."""
    network = parse_cfg(NET + "[maxpool]\nsize=2\nstride=2\n" + HEAD)

    assert isinstance(network.layers[1], Convolutional)
    assert network.layers[1].number == 1
