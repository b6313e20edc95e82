"""Images of which a newer decoder makes other pixels."""

import pytest
from PIL import ImageCms

from encoders.images.decoding import DECODER_REVISION, decodes_alike
from tests.support.images import encoded, plain

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_is_found_in_the_header(file_format: str) -> None:
    """Every format that can carry a profile tells whether it does, also where the pixels are cut off."""
    with_profile = encoded(plain("red"), file_format, icc_profile=PROFILE)
    assert decodes_alike(encoded(plain("red"), file_format), DECODER_REVISION - 1)
    assert not decodes_alike(with_profile, DECODER_REVISION - 1)
    assert decodes_alike(with_profile, DECODER_REVISION)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", bytes(100)])
def test_what_is_not_an_image_has_no_profile(data: bytes) -> None:
    """Broken bytes are not an error here: the decoder says what is wrong with them."""
    assert decodes_alike(data, 1)
