"""Which images a newer decoder sees with other eyes."""

import pytest
from PIL import ImageCms

from encoders.decoder_revision import DECODER_REVISION, decodes_alike, has_colour_profile
from tests.support.pictures import encoded, plain

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_is_found_in_the_header(file_format: str) -> None:
    """Every format that can carry a profile tells whether it does, also where the pixels are cut off."""
    with_profile = encoded(plain("red"), file_format, icc_profile=PROFILE)
    assert has_colour_profile(with_profile)
    assert not has_colour_profile(encoded(plain("red"), file_format))
    assert not decodes_alike(with_profile, DECODER_REVISION - 1)
    assert decodes_alike(with_profile, DECODER_REVISION)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", bytes(100)])
def test_what_is_not_an_image_has_no_profile(data: bytes) -> None:
    """Broken bytes are not an error here: the decoder says what is wrong with them."""
    assert not has_colour_profile(data)
    assert decodes_alike(data, 1)
