"""What an embedded profile says of an image's colours is what the models see."""

import io
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from encoders.images.colour_profile import to_srgb
from encoders.images.decoding import decode
from tests.support.icc import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SRGB, grey_profile, press_profile, rgb_profile
from tests.support.images import drawing, encoded, turned

SPACES = {
    "Display P3": rgb_profile(DISPLAY_P3, 2.2),
    "Adobe RGB": rgb_profile(ADOBE_RGB, 2.2),
    "ProPhoto": rgb_profile(PROPHOTO, 1.8),
}
TOLERANCE = 3.0


def photo(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Soft gradients of mild colours, which every space can hold."""
    width_px, height_px = size
    x, y = np.meshgrid(np.linspace(0, 1, width_px), np.linspace(0, 1, height_px))
    channels = [70 + 110 * x, 60 + 120 * y, 180 - 60 * x - 50 * y]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def stored_in(image: Image.Image, profile: bytes) -> Image.Image:
    """The same colours, as an editor that works in another space stores them."""
    srgb, other = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.ImageCmsTransform(ImageCms.ImageCmsProfile(srgb), other, "RGB", "RGB").apply(image)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("space", SPACES)
def test_one_image_in_two_spaces_decodes_to_the_same_pixels(space: str, file_format: str) -> None:
    """Whatever space an image is stored in, the models see what a viewer shows."""
    options = {"quality": 95} if file_format in {"JPEG", "WEBP"} else {}
    data = encoded(stored_in(photo(), SPACES[space]), file_format, icc_profile=SPACES[space], **options)

    assert difference(decode(data).pixels, np.asarray(photo())) < TOLERANCE


def test_a_profile_holds_when_a_jpeg_is_decoded_at_a_fraction() -> None:
    """Decoding small does not lose the profile."""
    large = photo((1600, 1200))
    profile = SPACES["ProPhoto"]

    small = decode(encoded(stored_in(large, profile), "JPEG", icc_profile=profile), enough_px=(100, 100)).pixels

    assert small.shape == (300, 400, 3)
    assert difference(small, np.asarray(large.resize((400, 300)))) < TOLERANCE


def test_a_profile_holds_for_turned_images() -> None:
    """Orientation and profile go together, as phones write them."""
    profile = SPACES["Display P3"]
    stored = Image.open(io.BytesIO(turned(stored_in(photo(), profile), 6)))

    pixels = decode(encoded(stored, "JPEG", quality=95, exif=stored.getexif(), icc_profile=profile)).pixels

    assert difference(pixels, np.asarray(photo())) < TOLERANCE


def test_transparency_and_palettes_keep_their_profile() -> None:
    """The colours of an image with alpha or a palette are converted too; the ground stays white."""
    profile = SPACES["ProPhoto"]
    stored = stored_in(photo(), profile)
    half = stored.copy()
    half.putalpha(Image.linear_gradient("L").resize(stored.size).point(lambda level: 255 if level > 128 else 0))

    shown = decode(encoded(half, "PNG", icc_profile=profile)).pixels
    palette = decode(encoded(stored.quantize(256), "PNG", icc_profile=profile)).pixels

    assert shown[0, 0].tolist() == [255, 255, 255]
    assert difference(shown[40:], np.asarray(photo())[40:]) < TOLERANCE
    assert difference(palette, np.asarray(photo())) < 2 * TOLERANCE
    assert decode(encoded(drawing(), "PNG", icc_profile=profile)).pixels.min() == 0


def test_a_grey_profile_is_obeyed() -> None:
    """Grey with a gamma of 1 is brighter than the same numbers in sRGB."""
    ramp = Image.linear_gradient("L")

    pixels = decode(encoded(ramp, "PNG", icc_profile=grey_profile(1.0))).pixels

    expected = 255 * (np.arange(256) / 255) ** (1 / 2.2)
    assert np.abs(pixels[:, 0, 1] - expected)[32:].max() < 8
    # A grey image under an RGB profile is read as that profile's grey.
    assert (
        difference(decode(encoded(ramp, "JPEG", icc_profile=SPACES["ProPhoto"])).pixels[..., 0], np.asarray(ramp)) > 4
    )


def test_a_press_profile_decides_what_inks_look_like() -> None:
    """CMYK is shown in the colours that its press prints, not in pure cyan, magenta and yellow."""
    paper, cyan, dark = (95.0, 0.0, -2.0), (55.0, -37.0, -50.0), (16.0, 0.0, 0.0)
    lab = {
        inks: dark if inks[3] or sum(inks) > 1 else cyan if inks == (1, 0, 0, 0) else paper
        for inks in itertools.product((0, 1), repeat=4)
    }
    stored = Image.new("CMYK", (16, 16), (255, 0, 0, 0))

    pixels = decode(encoded(stored, "TIFF", icc_profile=press_profile(lab))).pixels

    red, green, blue = pixels[8, 8].tolist()
    assert (red < 40, 110 < green < 160, blue > 180) == (True, True, True)


def test_srgb_itself_costs_no_conversion() -> None:
    """A profile that is sRGB, whatever its name, leaves the pixels as they are."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert to_srgb(srgb) is None
    assert np.array_equal(decode(encoded(photo(), icc_profile=srgb)).pixels, np.asarray(photo()))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 600), noise=st.binary(max_size=64))
def test_a_broken_profile_is_ignored(cut: int, noise: bytes) -> None:
    """A damaged profile, or one of another kind of image, does not prevent decoding."""
    broken = SPACES["Adobe RGB"][:cut] + noise

    assert decode(encoded(photo((8, 8)), icc_profile=broken)).pixels.shape == (8, 8, 3)
    assert decode(encoded(photo((8, 8)), icc_profile=grey_profile(1.0))).pixels.shape == (8, 8, 3)


def test_threads_share_a_conversion() -> None:
    """Many threads that share one conversion get the same pixels as one thread."""
    data = [
        encoded(stored_in(photo((256, 200 + 8 * number)), SPACES["Adobe RGB"]), icc_profile=SPACES["Adobe RGB"])
        for number in range(4)
    ]
    alone = [decode(each).pixels for each in data]

    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        together = list(pool.map(decode, data * 8))

    assert all(np.array_equal(each.pixels, alone[number % 4]) for number, each in enumerate(together))


def test_a_made_srgb_profile_is_near_the_real_one() -> None:
    """The profiles of these tests follow the standard: sRGB's primaries change next to nothing."""
    data = encoded(photo(), icc_profile=rgb_profile(SRGB, 2.2))

    assert difference(decode(data).pixels, np.asarray(photo())) < TOLERANCE
