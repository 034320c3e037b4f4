"""Directories of a TIFF file: the few tags that are needed before anything is decoded.

Layout: TIFF 6.0 §2 (and BigTIFF, the same with 8-byte fields). An EXIF block is a TIFF file too, which is
why the orientation of JPEG, PNG and WebP pictures is read here as well.
"""

import struct
from collections.abc import Iterator
from typing import Final

WIDTH: Final = 256
HEIGHT: Final = 257
ORIENTATION: Final = 274
STRIP_OFFSETS: Final = 273
STRIP_LENGTHS: Final = 279
TILE_OFFSETS: Final = 324
TILE_LENGTHS: Final = 325

_WANTED: Final = {WIDTH, HEIGHT, ORIENTATION, STRIP_OFFSETS, STRIP_LENGTHS, TILE_OFFSETS, TILE_LENGTHS}
# Field types that hold whole numbers: BYTE, SHORT, LONG, LONG8.
_WHOLE: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
# More values than strips or tiles that a picture within the limits can have.
_MOST_VALUES: Final = 1 << 20


def directories(data: bytes, most: int) -> Iterator[dict[int, tuple[int, ...]]]:
    """Up to `most` directories (pages), each as tag → whole numbers; other tags and types are left out.

    Raises:
        struct.error: the file ends before a directory or a value that it announces, or is not a TIFF.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise struct.error("not a TIFF file")
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < most:
        seen.add(offset)
        tags, offset = _directory(data, offset, order, big)
        yield tags


def _directory(data: bytes, offset: int, order: str, big: bool) -> tuple[dict[int, tuple[int, ...]], int]:
    counter, entry, value = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    (count,) = _read(order + counter, data, offset)
    start = offset + struct.calcsize(order + counter)
    step = struct.calcsize(order + entry) + value
    if start + count * step > len(data):
        raise struct.error("a directory reaches past the end of the file")
    tags: dict[int, tuple[int, ...]] = {}
    for at in range(start, start + count * step, step):
        tag, kind, number = struct.unpack_from(order + entry, data, at)
        if tag in _WANTED and kind in _WHOLE and 0 < number <= _MOST_VALUES:
            layout = f"{order}{number}{_WHOLE[kind]}"
            place = at + step - value
            if struct.calcsize(layout) > value:
                (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
            tags[tag] = _read(layout, data, place)
    after = start + count * step
    # EXIF blocks often end right after their last entry, without the link to a next directory.
    link = struct.calcsize(order + ("Q" if big else "I"))
    (following,) = _read(order + ("Q" if big else "I"), data, after) if after + link <= len(data) else (0,)
    return tags, following


def _read(layout: str, data: bytes, offset: int) -> tuple[int, ...]:
    # unpack_from takes offsets from -len to len; larger ones overflow in some builds.
    if not 0 <= offset <= len(data):
        raise struct.error("a value lies past the end of the file")
    return struct.unpack_from(layout, data, offset)
