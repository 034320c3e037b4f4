"""What a picture file says about itself before anything is decoded: format, size, orientation, frames.

The format is recognised by its first bytes. Each reader below walks its format's own chunks, which is
cheap, costs no memory, and shows whether the file reaches its end.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from lineament.core.errors import ImageFormatUnsupported, ImageTruncated, ImageUnreadable
from lineament.vision import tiff
from lineament.vision.jpeg import read_frame
from lineament.vision.orient import exif_mark, known_mark

READABLE: Final = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, JPEG 2000 or PNM"

PICTURE_SUFFIXES: Final = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "png", "webp", "avif", "heic", "heif"),
        *("tif", "tiff", "gif", "bmp", "jp2", "ppm", "pgm"),
    )
)
"""What photographs are called; anything else in a folder is looked into before it is called one."""

# Enough pages or frames to count; a file with more is reported as having this many.
_MOST_PAGES: Final = 1000
_HEIC_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# Two letters are too few to go by: the length of the second header tells a bitmap from a text.
_BMP_HEADERS: Final = {size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)}
_PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Header:
    """What the file announces.

    Attributes:
        format: `JPEG`, `PNG`, `WebP`, `AVIF`, `HEIC`, `TIFF`, `GIF`, `BMP`, `JPEG 2000` or `PNM`.
        size: (height, width) as stored; (0, 0) where only the decoder can tell.
        orientation: mark 1–8; 1 where only the decoder can tell.
        frames: frames or pages, 1 for a still picture; 0 where only the decoder can tell.
        spans: (start, end) of the parts of the file that the decoder needs; empty for all of it.
        tail: bytes to put after them.
        gray: a JPEG file of one component.
        plain: a JPEG file for the fast decoder (`plain_jpeg.py`).
    """

    format: str
    size: tuple[int, int]
    orientation: int
    frames: int
    spans: tuple[tuple[int, int], ...] = ()
    tail: bytes = b""
    gray: bool = False
    plain: bool = False

    def lean(self, data: bytes) -> bytes:
        """The bytes for the decoder: the file without the notes that it need not read."""
        if not self.spans:
            return data
        return b"".join([*(data[start:end] for start, end in self.spans), self.tail])


def sniff(data: bytes) -> str | None:
    """The format that the first bytes announce, or None."""
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and data[14:18] in _BMP_HEADERS:
        return "BMP"
    if data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")):
        return "JPEG 2000"
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JPEG XL"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PNM"
    return _sniff_boxes(data)


def _sniff_boxes(data: bytes) -> str | None:
    if data[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(data[:4], "big"), 512)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS or data[8:12] in (b"mif1", b"msf1") else None


def read_header(data: bytes, name: str) -> Header:
    """Recognise the format and read what the file announces.

    Raises:
        ImageUnreadable: not a picture in a format we read, or one that is damaged.
        ImageTruncated: the file stops before its end.
        ImageZeroSized: no rows or no columns.
        ImageFormatUnsupported: a known format that is not read.
    """
    kind = sniff(data)
    if kind is None:
        if any(magic.startswith(data[:8]) for magic in (_PNG, b"\xff\xd8", b"GIF89a", b"RIFF")):
            raise ImageTruncated(f"{name} stops after {len(data)} bytes: fetch the whole file again")
        raise ImageUnreadable(f"{name} is not a picture that can be read: use {READABLE}")
    if kind == "JPEG XL":
        raise ImageFormatUnsupported(f"{name} is a JPEG XL file, which is not read: save it as JPEG or PNG")
    reader = _READERS.get(kind)
    if reader is None:
        return Header(kind, (0, 0), 1, 1)
    try:
        return reader(data, name)
    except (struct.error, IndexError) as error:
        raise _cut(name, kind) from error


def _cut(name: str, kind: str) -> ImageTruncated:
    return ImageTruncated(f"{name} is a {kind} file that stops before its end: fetch the whole file again")


def _jpeg(data: bytes, name: str) -> Header:
    frame = read_frame(data, name)
    size = (frame.height, frame.width)
    gray = frame.components == 1
    return Header("JPEG", size, frame.orientation, 1, frame.spans, frame.tail, gray, frame.plain)


def _png(data: bytes, name: str) -> Header:
    """PNG (third edition) §5.3: chunks of length, type, data, checksum, from IHDR to IEND."""
    spans, mark, frames, position = [(0, 8)], 1, 1, 8
    if data[12:16] != b"IHDR":
        raise ImageUnreadable(f"{name} is a PNG file without a header: it is damaged")
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        after = position + 12 + length
        if after > len(data):
            raise _cut(name, "PNG")
        if kind == b"eXIf":
            mark = exif_mark(data[position + 8 : after - 4])
        elif kind == b"acTL" and length >= 4:
            frames = int.from_bytes(data[position + 8 : position + 12], "big")
        if not kind[0] & 0x20 or kind == b"tRNS":
            spans.append((position, after))
        if kind == b"IEND":
            break
        position = after
    width, height = struct.unpack_from(">II", data, 16)
    return Header("PNG", (height, width), mark, max(frames, 1), tuple(spans))


def _webp(data: bytes, name: str) -> Header:
    """WebP container (RFC 9649 §2.3): RIFF chunks; the canvas of VP8X, or the frame of VP8 or VP8L."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise _cut(name, "WebP")
    size, mark, frames = None, 1, 0
    for kind, start, length in _riff(data, end):
        if kind == b"VP8X":
            size = tuple(1 + int.from_bytes(data[start + at : start + at + 3], "little") for at in (7, 4))
        elif kind == b"VP8 " and size is None:
            width, height = struct.unpack_from("<HH", data, start + 6)
            size = (height & 0x3FFF, width & 0x3FFF)
        elif kind == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", data, start + 1)
            size = ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
        elif kind == b"EXIF":
            mark = exif_mark(data[start : start + length])
        frames += kind == b"ANMF"
    if size is None:
        raise ImageUnreadable(f"{name} is a WebP file without a picture in it: it is damaged")
    return Header("WebP", (size[0], size[1]), mark, max(frames, 1))


def _riff(data: bytes, end: int) -> Iterator[tuple[bytes, int, int]]:
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8, length
        position += 8 + length + (length & 1)


def _gif(data: bytes, name: str) -> Header:
    """GIF89a: blocks up to the trailer; the size is that of the logical screen."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, frames = 13 + _table(flags), 0
    while data[position] != 0x3B:
        if data[position] == 0x2C:
            frames += 1
            position += 11 + _table(data[position + 9])
        elif data[position] == 0x21:
            position += 2
        elif data[position] == 0x00:
            # Some writers leave a stray block end between blocks.
            position += 1
            continue
        else:
            raise ImageUnreadable(f"{name} is a damaged GIF file")
        while data[position]:
            position += 1 + data[position]
        position += 1
    if not frames:
        raise ImageUnreadable(f"{name} is a GIF file without a picture in it")
    return Header("GIF", (height, width), 1, frames)


def _table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _tiff(data: bytes, name: str) -> Header:
    pages = list(tiff.directories(data, _MOST_PAGES))
    if not pages:
        raise ImageUnreadable(f"{name} is a TIFF file without a picture in it: it is damaged")
    page = pages[0]
    for offsets, lengths in (
        (tiff.STRIP_OFFSETS, tiff.STRIP_LENGTHS),
        (tiff.TILE_OFFSETS, tiff.TILE_LENGTHS),
    ):
        for offset, length in zip(page.get(offsets, ()), page.get(lengths, ()), strict=False):
            if offset + length > len(data):
                raise _cut(name, "TIFF")
    size = (page.get(tiff.HEIGHT, (0,))[0], page.get(tiff.WIDTH, (0,))[0])
    mark = known_mark(page.get(tiff.ORIENTATION, (1,))[0])
    return Header("TIFF", size, mark, len(pages))


def _boxes(kind: str) -> Callable[[bytes, str], Header]:
    def read(data: bytes, name: str) -> Header:
        """ISO base media file (ISO/IEC 14496-12 §4.2): the top-level boxes must fill the file."""
        position = 0
        while position < len(data):
            (length,) = struct.unpack_from(">I4x", data, position)
            if length == 1:
                (length,) = struct.unpack_from(">Q", data, position + 8)
            elif length == 0:
                break
            if length < 8:
                raise ImageUnreadable(f"{name} is a damaged {kind} file")
            position += length
        if position > len(data):
            raise _cut(name, kind)
        return Header(kind, (0, 0), 1, 0)

    return read


def _jpeg_2000(data: bytes, name: str) -> Header:
    """Boxes of a JP2 file, or a bare codestream with its end mark (ITU-T T.800, annexes I and A)."""
    if data[:2] != b"\xff\x4f":
        return _boxes("JPEG 2000")(data, name)
    if b"\xff\xd9" not in data[-64:]:
        raise _cut(name, "JPEG 2000")
    return Header("JPEG 2000", (0, 0), 1, 0)


_READERS: Final[dict[str, Callable[[bytes, str], Header]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
    "AVIF": _boxes("AVIF"),
    "HEIC": _boxes("HEIC"),
    "JPEG 2000": _jpeg_2000,
}
