"""Images from untrusted callers: refuse what cannot be used, and decode the rest to upright RGB."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

from domain.exif import Exif
from encoders.bundle import Colour
from encoders.errors import DecodingCancelled, InvalidContent, UnsupportedImage
from encoders.images.avif import open_avif
from encoders.images.decode_memory import decode_bytes
from encoders.images.encoded import EncodedImage, format_of, never
from encoders.images.exif import exif_of
from encoders.images.heif import HeifImageFile
from encoders.images.jpeg_scans import JpegCoding, coding_of
from encoders.images.pixels import Pixels, orientation_of, swap_sides, upright_pixels
from encoders.images.size_limits import USUAL_LIMIT, check_size, least_reduction
from encoders.images.truncated_jpeg import load_without_end

WHITE = (255, 255, 255)

# Raised by every change that makes other pixels of some images. 2: images with a colour profile are converted to sRGB.
DECODER_REVISION = 2

# Opened directly: Pillow refuses large images of any kind by one limit, and does not know HEIF.
_OPENERS: dict[str, Callable[[EncodedImage], Image.Image]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "AVIF": open_avif,
    "HEIF": HeifImageFile,
}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says of its image before a pixel is decoded; width and height are those of the upright image."""

    format: str
    width_px: int
    height_px: int
    is_animated: bool
    has_colour_profile: bool


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Upright RGB `pixels` (H, W, 3), perhaps decoded at a fraction of the image's real `width_px` x `height_px`."""

    pixels: Pixels
    width_px: int
    height_px: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose header is acceptable and whose pixels are still encoded; decode it once."""

    header: ImageHeader
    _data: bytes
    _image: Image.Image
    _coding: JpegCoding | None
    _is_cancelled: Callable[[], bool]

    def exif(self) -> Exif:
        """What the camera wrote, from the header."""
        return exif_of(self._image)

    def decode_bytes(self, *, enough_px: tuple[int, int] | None = None) -> int:
        """The most memory that `decode` needs, in bytes, including its result and without the encoded image."""
        stored_size = swap_sides((self.header.width_px, self.header.height_px), orientation_of(self._image))
        self._reduce(self._image, enough_px)
        keeps_coefficients = self._coding is not None and self._coding.keeps_coefficients
        return decode_bytes(self._image, stored_size, keeps_coefficients=keeps_coefficients)

    def decode(self, *, enough_px: tuple[int, int] | None = None, background: Colour = WHITE) -> DecodedImage:
        """Decode the first frame; `enough_px` is the (width, height) that it will be resized to.

        A large JPEG is then decoded at 1/2, 1/4 or 1/8, while both sides keep twice what is enough: 2.3 to 4.9 times
        faster for shorter sides of 900 to 2,700 px, and MobileNetV2's embedding of real photos keeps a cosine of at
        least .998 to that of the full decode (.978 with only once what is enough). One of more than 32 megapixels is
        always decoded at a fraction. Raises `UnsupportedImage`, and `DecodingCancelled` soon after the caller has left.
        """
        header = self.header
        with _refusing(header.format):
            image, warnings = self._loaded(enough_px)
            pixels = upright_pixels(image, background)
            if header.is_animated:
                warnings += ("only the first frame was read",)
            return DecodedImage(pixels, header.width_px, header.height_px, warnings)

    def _loaded(self, enough_px: tuple[int, int] | None) -> tuple[Image.Image, tuple[str, ...]]:
        """The image with its pixels, and warnings about them."""

        def reopened(data: bytes) -> Image.Image:
            image = _open(data, self.header.format, self._is_cancelled)
            self._reduce(image, enough_px)
            return image

        try:
            self._reduce(self._image, enough_px)
            self._image.load()
        except OSError:
            whole = load_without_end(self._data, reopened) if self.header.format == "JPEG" else None
            if whole is None:
                raise
            return whole, ("the JPEG lacks its end marker; all of its pixels were read",)
        return self._image, ()

    def _reduce(self, image: Image.Image, enough_px: tuple[int, int] | None) -> None:
        """Have a JPEG decoded at a fraction; only the first call for an image counts."""
        if self._coding in {None, JpegCoding.LOSSLESS}:
            return
        reduction = least_reduction(image.size)
        width_px, height_px = image.size[0] // reduction, image.size[1] // reduction
        if enough_px is not None:
            twice_px = swap_sides((2 * enough_px[0], 2 * enough_px[1]), orientation_of(image))
            width_px, height_px = min(width_px, twice_px[0]), min(height_px, twice_px[1])
        image.draft(None, (max(1, width_px), max(1, height_px)))


def probe(data: bytes) -> ImageHeader:
    """Read an image's header; raises `UnsupportedImage` as `decode` does, except for damage in the pixels."""
    return open_image(data).header


def decode(data: bytes, *, enough_px: tuple[int, int] | None = None, background: Colour = WHITE) -> DecodedImage:
    """Open and decode an image; raises `UnsupportedImage` with one sentence for the caller."""
    return open_image(data).decode(enough_px=enough_px, background=background)


def open_image(data: bytes, *, is_cancelled: Callable[[], bool] = never) -> OpenedImage:
    """Check format and size without decoding, so that a small file cannot cost much memory.

    `is_cancelled` is asked again and again while the file is read; once it is true, `DecodingCancelled` ends the work.
    """
    image_format = format_of(data)
    with _refusing(image_format):
        image = _open(data, image_format, is_cancelled)
        coding = coding_of(data) if image_format == "JPEG" else None
        check_size(image, coding)
        width_px, height_px = swap_sides(image.size, orientation_of(image))
        # A JPEG with several images (MPO) is not animated: it is a photo with its own thumbnails or its stereo twin.
        is_animated = image_format != "JPEG" and bool(getattr(image, "is_animated", False))
        header = ImageHeader(image_format, width_px, height_px, is_animated, bool(image.info.get("icc_profile")))
    return OpenedImage(header, data, image, coding, is_cancelled)


def decodes_alike(data: bytes, revision: int) -> bool:
    """Whether the decoder of a revision made the same pixels of these bytes as the current one; reads the header alone."""
    if revision >= DECODER_REVISION:
        return True
    try:
        return not probe(data).has_colour_profile
    except InvalidContent:
        return True


def _open(data: bytes, image_format: str, is_cancelled: Callable[[], bool]) -> Image.Image:
    file = EncodedImage(data, image_format, is_cancelled)
    opener = _OPENERS.get(image_format)
    return opener(file) if opener else Image.open(file, formats=[image_format])


@contextmanager
def _refusing(image_format: str) -> Iterator[None]:
    """Turn whatever Pillow raises over an image's bytes into `UnsupportedImage`.

    Its decoders raise OSError, ValueError, TypeError, IndexError, KeyError, SyntaxError, NotImplementedError,
    struct.error, bomb errors and more, so nothing narrower than Exception holds.
    """
    try:
        yield
    except (InvalidContent, DecodingCancelled, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{USUAL_LIMIT.megapixels} megapixels and {USUAL_LIMIT.side_px:,} pixels a side"
        raise UnsupportedImage(f"The {image_format} image is too large; the limit is {limit}.") from error
    except Exception as error:
        raise UnsupportedImage(f"The {image_format} image cannot be decoded; it is damaged or cut off.") from error
