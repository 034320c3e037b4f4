"""Opening a picture: from whatever a caller holds to upright RGB pixels.

`open_picture` reads the bytes, recognises the format and checks the limits from the header; it decodes
nothing. `Picture.decode` then gives all pixels, or as few as a detector needs. `read_image` is both.

Who decodes: ordinary JPEG files OpenCV (`plain_jpeg.py`), HEIC pillow-heif, all else Pillow (`pixels.py`).
"""

import hashlib
import importlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from typing import Final, Protocol, cast, runtime_checkable

import numpy as np
from PIL import Image as PillowImage

from lineament.core.errors import (
    ImageError,
    ImageFormatUnsupported,
    ImageTooLarge,
    ImageUnreadable,
    ImageZeroSized,
    InvalidArgument,
)
from lineament.core.image import Image
from lineament.vision.containers import Header, read_header
from lineament.vision.from_array import Colour, Range, check_statements, rgb_of_array
from lineament.vision.orient import exif_mark, mark_of, upright, upright_size
from lineament.vision.pixels import complaints, no_warnings, to_rgb
from lineament.vision.plain_jpeg import decode_plain
from lineament.vision.sources import Limits, Source, read_encoded

DEFAULT_LIMITS: Final = Limits()

_PLUGINS: Final = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNM": ("PIL.PpmImagePlugin", "PpmImageFile"),
}
# Formats whose plugin may warn about odd tags while it opens a file.
_PARSES_TAGS: Final = {"TIFF", "AVIF"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was opened and checked, and is decoded when and as far as it is needed.

    It holds the encoded bytes and no open file: threads may share it, and it can be pickled.

    Attributes:
        source: where it came from: a path, `<bytes>`, `<stream>`, `<array>`, `<PIL image>`.
        full_size: (height, width) of the upright picture, pixels.
        orientation: the EXIF mark that decoding applies, 1–8; 1 means none. HEIC files carry their turn
            as a property that the decoder applies itself; there it is 1.
        format: `JPEG`, `PNG`, ...; `array` or `PIL image` for pixels that were handed in.
    """

    source: str
    full_size: tuple[int, int]
    orientation: int
    format: str
    header: Header | None = field(default=None, repr=False)
    encoded: bytes = field(default=b"", repr=False)
    ready: Image | None = field(default=None, repr=False)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the encoded bytes; empty for pixels that were handed in."""
        return hashlib.sha256(self.encoded).hexdigest() if self.header is not None else ""

    def decode(self, at_least: int | None = None) -> Image:
        """Pixels, upright, RGB.

        Args:
            at_least: None for all pixels. A number n allows the smallest decoding whose longer side is
                still n pixels or more: JPEG is decoded at 1/2, 1/4 or 1/8 directly, which leaves out most
                of the work; other formats are decoded in full. `Image.scale` says which: columns of
                `pixels` per column of the full picture. (libjpeg rounds sizes up, so the scale may exceed
                1/2, 1/4 or 1/8 by less than one column in the width.)

        Raises:
            ImageTruncated: the pixels end early.
            ImageUnreadable: the pixels are damaged, or of a kind that has no meaning as a photograph.
            InvalidArgument: `at_least` is less than 1.
        """
        if at_least is not None and at_least < 1:
            raise InvalidArgument(f"at_least is a number of pixels from 1 up, not {at_least}")
        if self.ready is not None or self.header is None:
            return cast(Image, self.ready)
        header = self.header
        reduce_by = _reduction(header.size, at_least) if header.format == "JPEG" else 1
        stored, notes, mark = self._stored(header, reduce_by)
        if header.frames > 1:
            what = "page" if header.format == "TIFF" else "frame"
            notes = (f"first {what} of {header.frames}", *notes)
        turned = upright(stored, mark)
        scale = turned.shape[1] / self.full_size[1]
        return Image(turned, self.source, scale, self.full_size, self.orientation, notes)

    def _stored(self, header: Header, reduce_by: int) -> tuple[np.ndarray, tuple[str, ...], int]:
        """Pixels as the file stores them, notes, and the mark that is still to be applied."""
        if header.plain:
            fast = decode_plain(header.lean(self.encoded), reduce_by)
            if fast is not None:
                return fast, ("gray to RGB",) if header.gray else (), self.orientation
        image = _plugin_image(header, self.encoded, self.source)
        if reduce_by > 1:
            height, width = header.size
            # draft takes the size wanted and chooses the largest of 8, 4, 2, 1 that leaves as much.
            image.draft(None, (max(1, width // reduce_by), max(1, height // reduce_by)))
        pixels, notes = to_rgb(image, self.source, header.format)
        # Pillow turns TIFF pictures itself while it loads them, and then forgets their mark.
        return pixels, notes, mark_of(image) if header.format == "TIFF" else self.orientation


def open_picture(
    source: Source,
    *,
    colour: Colour | None = None,
    value_range: Range | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Picture:
    """Open and check a picture without decoding it.

    Args:
        source: a path, encoded bytes, an open binary file, a Pillow image, an array, or an `Image`.
        colour: order of an array's channels, "rgb" or "bgr"; ignored for every other source.
        value_range: what black and white are in an array that is not uint8; ignored for every other source.
        limits: how large the picture may be.

    Raises:
        ImageNotFound, ImageEmpty, ImageUnreadable, ImageTruncated, ImageTooLarge, ImageZeroSized,
        ImageFormatUnsupported, ImageArrayInvalid, ImageError: as each says in its message.
        InvalidArgument: an argument is none of the above, or an address on a network.
    """
    check_statements(colour, value_range)
    if isinstance(source, Image):
        return _handed_in(source, "Image", source.orientation, limits)
    if isinstance(source, np.ndarray):
        _check_size(source.shape[:2] if source.ndim >= 2 else (1, 1), "<array>", limits)
        pixels, notes = rgb_of_array(source, colour, value_range)
        return _handed_in(Image(pixels, "<array>", notes=notes), "array", 1, limits)
    if isinstance(source, PillowImage.Image):
        return _from_pillow(source, limits)
    encoded, name = read_encoded(source, limits)
    header = read_header(encoded, name)
    if header.size == (0, 0):
        header = _complete(header, encoded, name)
    _check_size(header.size, name, limits)
    size = upright_size(header.size, header.orientation)
    return Picture(name, size, header.orientation, header.format, header, encoded)


def read_image(
    source: Source,
    *,
    colour: Colour | None = None,
    value_range: Range | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Image:
    """Open a picture and decode all of it. Arguments and errors are those of `open_picture`."""
    return open_picture(source, colour=colour, value_range=value_range, limits=limits).decode()


def _handed_in(image: Image, kind: str, mark: int, limits: Limits) -> Picture:
    _check_size(image.full_size, image.source, limits)
    return Picture(image.source, image.full_size, mark, kind, ready=image)


def _check_size(size: tuple[int, ...], name: str, limits: Limits) -> None:
    height, width = size
    if height < 1 or width < 1:
        raise ImageZeroSized(f"{name} is a picture of {width}×{height} pixels")
    if height * width > limits.max_pixels:
        raise ImageTooLarge(
            f"{name} has {width}×{height} pixels, more than the limit of {limits.max_pixels}: "
            "save it smaller, or in Python raise Limits(max_pixels=...)"
        )
    if min(height, width) < limits.min_side:
        raise ImageError(f"{name} has {width}×{height} pixels, less than the {limits.min_side} asked for")


def _from_pillow(image: PillowImage.Image, limits: Limits) -> Picture:
    name, kind = "<PIL image>", "PIL image"
    _check_size((image.height, image.width), name, limits)
    pixels, notes = to_rgb(image, name, "PNM" if image.format == "PPM" else kind)
    with complaints(name, kind), no_warnings():
        mark = mark_of(image)
    return _handed_in(Image(upright(pixels, mark), name, orientation=mark, notes=notes), kind, mark, limits)


def _complete(header: Header, encoded: bytes, name: str) -> Header:
    """Fill in what only the decoder can tell, still without decoding."""
    if header.format == "HEIC":
        with complaints(name, "HEIC"):
            width, height = _heif_file(encoded, name).size
        return replace(header, size=(height, width), frames=1)
    image = _plugin_image(header, encoded, name)
    with complaints(name, header.format):
        # libavif reports the turn of an AVIF picture as an EXIF mark, whatever its own EXIF block says.
        mark = exif_mark(image.info.get("exif", b""))
        frames = header.frames or int(getattr(image, "n_frames", 1))
    return replace(header, size=(image.height, image.width), orientation=mark, frames=frames)


def _plugin_image(header: Header, encoded: bytes, name: str) -> PillowImage.Image:
    """A Pillow image of the file, not yet decoded (HEIC excepted).

    The plugin of the recognised format is used directly: `PIL.Image.open` would try others, and checks the
    size against a limit of the whole process instead of the caller's.
    """
    with complaints(name, header.format):
        if header.format == "HEIC":
            return _heif_file(encoded, name).to_pillow()
        module, attribute = _PLUGINS[header.format]
        plugin = getattr(importlib.import_module(module), attribute)
        with no_warnings() if header.format in _PARSES_TAGS else nullcontext():
            image = plugin(BytesIO(header.lean(encoded)))
    agreed = (upright_size(header.size, header.orientation), header.size)
    if (image.height, image.width) not in agreed and header.size != (0, 0):
        # The limits were checked for one size: what would be decoded must not be another.
        raise ImageUnreadable(f"{name} is a damaged {header.format} file: it states two different sizes")
    return image


@runtime_checkable
class _HeifFile(Protocol):
    @property
    def size(self) -> tuple[int, int]: ...
    def to_pillow(self) -> PillowImage.Image: ...
    def __len__(self) -> int: ...


def _heif_file(encoded: bytes, name: str) -> _HeifFile:
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ImageFormatUnsupported(
            f'{name} is a HEIC picture; to read those, run: pip install "lineament[heic]"'
        ) from error
    with no_warnings():
        return heif.open_heif(BytesIO(encoded))


def _reduction(size: tuple[int, int], at_least: int | None) -> int:
    """8, 4 or 2: the strongest reduction whose longer side keeps `at_least` pixels; 1 when none does."""
    if at_least is None:
        return 1
    return next((by for by in (8, 4, 2) if -(-max(size) // by) >= at_least), 1)
