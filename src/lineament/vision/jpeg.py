"""The frame of a JPEG file: size, orientation, where its scans begin and end.

Layout: ITU-T T.81 annex B. Walking the markers answers three questions before any pixel is decoded: how
large the picture is, how it is to be turned, and whether it reaches its end mark. An end mark inside an
embedded thumbnail does not count, nor do bytes after the picture's own.

`JpegFrame.spans` are the parts that the decoder needs: notes beside the picture (EXIF, colour profile,
comments) are left out, so that it never meets a damaged one. Of a picture in one sequential scan the end
mark is replaced by padding: libjpeg paints whatever is missing before an end mark grey and says nothing to
its caller, while without an end mark it asks for more bytes, and that is an error that can be told. (Of
several scans, as in a progressive file, only the end mark and the presence of every component are checked;
damage inside the coded data that keeps it decodable cannot be seen in either.)
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from lineament.core.errors import ImageTruncated, ImageUnreadable, ImageZeroSized
from lineament.vision.orient import exif_mark

_SOI, _EOI, _SOS, _DRI, _APP1 = 0xD8, 0xD9, 0xDA, 0xDD, 0xE1
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = {0xC0, 0xC1}
_RESTARTS: Final = range(0xD0, 0xD8)
_BARE: Final = {0x01, _SOI, *_RESTARTS}
# Tables and frames, and the two notes that say which colour space the components are in (JFIF, Adobe).
_NEEDED: Final = _FRAMES | {0xC4, 0xCC, 0xDB, _DRI, 0xE0, 0xEE}
# The decoder looks up to eight bytes ahead, and would ask for more although it has every pixel. Zeros are
# valid codes, so that a scan cut short by less than these bytes fills them with a few squares of picture.
_PADDING: Final = bytes(16)
# Adobe's note: `Adobe`, version, flags, and then the colour transform (Adobe Technical Note 5116, §18).
_ADOBE_TRANSFORM: Final = 11


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """What the markers say.

    Attributes:
        width: columns as stored.
        height: rows as stored.
        components: 1 for gray, 3 for colour, 4 for CMYK.
        orientation: EXIF mark, 1–8.
        spans: (start, end) of the parts of the file that the decoder needs.
        tail: bytes to put after them.
        plain: True for one baseline scan of gray or three components with nothing odd in its markers.
    """

    width: int
    height: int
    components: int
    orientation: int
    spans: tuple[tuple[int, int], ...]
    tail: bytes
    plain: bool


def read_frame(data: bytes, name: str) -> JpegFrame:
    """Walk the markers of a JPEG file.

    Raises:
        ImageTruncated: the file stops inside a segment, or has no end mark, or lacks a component.
        ImageUnreadable: no frame before the first scan.
        ImageZeroSized: the frame has no rows or no columns.
    """
    spans, mark, restarts, usual, position = [(0, 2)], 1, False, True, 2
    frame: tuple[int, int, int, int] | None = None
    while True:
        marker, position = _next_marker(data, position, name)
        if marker in _BARE:
            continue
        if marker == _EOI:
            raise ImageUnreadable(f"{name} is a JPEG file without a picture in it")
        start, position = position, position + _segment_length(data, position, name)
        body = data[start + 2 : position]
        if marker == _SOS:
            break
        if marker in _FRAMES and frame is None:
            frame = (marker, *_frame_size(body, name))
        elif marker == _APP1 and mark == 1 and body.startswith(b"Exif\0\0"):
            mark = exif_mark(body)
        elif marker == _DRI:
            restarts = any(body[:2])
        usual = usual and _is_usual(marker, body)
        if marker in _NEEDED:
            spans.append((start - 2, position))
    if frame is None:
        raise ImageUnreadable(f"{name} is a JPEG file that never states its size: it is damaged")
    kind, height, width, components = frame
    if kind in _SEQUENTIAL and body[:1] == bytes((components,)):
        end, tail = _end_of_scan(data, position, restarts, name), _PADDING
        usual = usual and data[end + 1] == _EOI and body[-3:] == b"\0\x3f\0" and components in (1, 3)
    else:
        end, tail, usual = _end_of_scans(data, position, body, components, name), b"\xff\xd9", False
    return JpegFrame(
        width, height, components, mark, (*spans, (start - 2, end)), tail, usual and not restarts
    )


def _is_usual(marker: int, body: bytes) -> bool:
    """False for notes that libjpeg would remark upon: a JFIF version or Adobe transform it does not know."""
    if marker == 0xE0 and body.startswith(b"JFIF\0"):
        return body[5:6] == b"\x01"
    if marker == 0xEE and body.startswith(b"Adobe"):
        return body[_ADOBE_TRANSFORM : _ADOBE_TRANSFORM + 1] in (b"\0", b"\x01", b"\x02")
    return marker not in _FRAMES or body[:1] == b"\x08"


def _next_marker(data: bytes, position: int, name: str) -> tuple[int, int]:
    """The next marker and the place after it; stray bytes before it are skipped, as libjpeg does."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise ImageTruncated(f"{name} is a JPEG file that stops before its picture begins")
        position += 1
        if data[position] not in (0x00, 0xFF):
            return data[position], position + 1


def _segment_length(data: bytes, position: int, name: str) -> int:
    length = int.from_bytes(data[position : position + 2], "big")
    if position + max(length, 2) > len(data):
        raise ImageTruncated(
            f"{name} is a JPEG file that stops inside its header: fetch the whole file again"
        )
    if length < 2:
        raise ImageUnreadable(f"{name} is a JPEG file with a damaged header")
    return length


def _frame_size(body: bytes, name: str) -> tuple[int, int, int]:
    """(height, width, components) of a frame header (T.81, B.2.2)."""
    if len(body) < 6:
        raise ImageUnreadable(f"{name} is a JPEG file with a damaged header")
    _, height, width, components = struct.unpack_from(">BHHB", body)
    if height == 0 or width == 0:
        raise ImageZeroSized(f"{name} is a JPEG picture of {width}×{height} pixels")
    return height, width, components


def _markers(data: bytes, start: int) -> tuple[list[int], list[int]]:
    """Places and codes of the markers from `start` on; in a segment's body they are none."""
    rest = np.frombuffer(data, np.uint8, offset=start)
    places = np.flatnonzero(rest[:-1] == 0xFF)
    codes = rest[places + 1]
    # 00 is a data byte FF as it is written in a scan, FF a fill byte.
    real = (codes != 0x00) & (codes != 0xFF)
    return (places[real] + start).tolist(), codes[real].tolist()


def _end_of_scan(data: bytes, start: int, restarts: bool, name: str) -> int:
    """Where the only scan ends: at its first marker, which is the end mark unless the scan is damaged."""
    places, codes = _markers(data, start)
    if _EOI not in codes:
        raise _no_end(name)
    return next(at for at, code in zip(places, codes, strict=True) if not (restarts and code in _RESTARTS))


def _end_of_scans(data: bytes, start: int, first: bytes, components: int, name: str) -> int:
    """Where the last of several scans ends."""
    coarse = _components_of(first)
    places, codes = _markers(data, start)
    for at, code in zip(places, codes, strict=True):
        if at < start or code in _BARE:
            continue
        if code == _EOI:
            if len(coarse) < components:
                raise ImageTruncated(f"{name} is a JPEG file that lacks a colour component: fetch it again")
            return at
        start = at + 2 + _segment_length(data, at + 2, name)
        if code == _SOS:
            coarse |= _components_of(data[at + 4 : start])
    raise _no_end(name)


def _components_of(body: bytes) -> set[int]:
    """Components of a scan header (T.81, B.2.3) whose mean values it carries; none in a scan of details."""
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count or body[1 + 2 * count] != 0:
        return set()
    return set(body[1 : 1 + 2 * count : 2])


def _no_end(name: str) -> ImageTruncated:
    return ImageTruncated(f"{name} is a JPEG file that stops before its end: fetch the whole file again")
