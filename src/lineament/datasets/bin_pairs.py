"""Pair files of the InsightFace family (`lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`) without running them.

Such a file is a pickle of `(pictures, same)`: 2P encoded pictures, of which 2i and 2i+1 are pair i, and P
booleans. It is read with `pickle_plain.py`, which runs nothing. What is read can be kept in a format that
needs no such care, see `pairs_archive.py`.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from lineament.core.errors import DatasetInvalid, ImageEmpty, ImageError, ImageNotFound, ImageTooLarge
from lineament.datasets.pairs import Pairs
from lineament.datasets.pairs_archive import read_pairs_archive as read_pairs_archive
from lineament.datasets.pairs_archive import write_pairs_archive as write_pairs_archive
from lineament.datasets.pickle_bytes import Source, Span, decoded
from lineament.datasets.pickle_numpy import Array, Plain, described
from lineament.datasets.pickle_plain import read_plain
from lineament.datasets.port import MAX_PICTURE_BYTES
from lineament.vision.containers import sniff

MAX_FILE_BYTES: Final = 16 * 2**30
MAX_PAIRS: Final = 500_000
_MARK_BYTES: Final = 64
_SUFFIXES: Final = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "AVIF": ".avif",
    "HEIC": ".heic",
    "TIFF": ".tif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "JPEG 2000": ".jp2",
    "PNM": ".ppm",
}


class BinPictures:
    """Pictures that stay in the pair file and are read one at a time.

    Args:
        path: the pair file.
        spans: where each picture lies, by name.
    """

    def __init__(self, path: Path, spans: dict[str, Span]) -> None:
        self.path = path
        self._spans = spans
        self._lock = threading.Lock()
        self._stream = path.open("rb")

    @property
    def names(self) -> Sequence[str]:
        """Names made from the number of the pair: `00001a.jpg` and `00001b.jpg` are the first."""
        return tuple(self._spans)

    def read(self, name: str) -> bytes:
        """The encoded picture; one thread at a time.

        Raises:
            ImageNotFound: there is no picture of that name.
            ImageEmpty, ImageTooLarge, ImageError: it cannot be read.
        """
        span = self._spans.get(name)
        if span is None:
            raise ImageNotFound(f"there is no picture {name} in {self.path}: check the name")
        where = f"{name} in {self.path}"
        try:
            data = decoded(self._written(span, where), span.form, where)
        except DatasetInvalid as error:
            raise ImageError(f"{where} is written in a way that stands for no bytes") from error
        if not data:
            raise ImageEmpty(f"{where} holds no bytes: get the file again")
        if len(data) > MAX_PICTURE_BYTES:
            raise ImageTooLarge(f"{where} has more than {MAX_PICTURE_BYTES} bytes: it is left unread")
        return data

    def stamp(self, name: str) -> str:
        """Where the picture lies, and size and last change of the file; empty when it has no such picture."""
        span = self._spans.get(name)
        if span is None:
            return ""
        status = os.fstat(self._stream.fileno())
        return f"{span.start} {span.size} {status.st_size} {status.st_mtime_ns}"

    def describe(self) -> str:
        """Name of the file and how many pictures it holds."""
        return f"{self.path.name}: pair file of {len(self._spans)} pictures"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._stream.close()

    def _written(self, span: Span, where: str) -> bytes:
        try:
            with self._lock:
                self._stream.seek(span.start)
                data = self._stream.read(span.size)
        except (OSError, ValueError) as error:
            raise ImageError(f"{where} could not be read ({error})") from error
        if len(data) != span.size:
            raise ImageError(f"{where} could not be read: the file became shorter")
        return data


def read_bin(path: Path) -> tuple[Pairs, BinPictures]:
    """Pairs and pictures of a pair file. Nothing in it is run; close the pictures when done.

    Args:
        path: a pickle of any protocol from 0 to 5, written by Python 2 or 3, of `(pictures, same)`. Pictures
            are byte strings or numpy arrays of bytes; labels are booleans or 0 and 1.

    Returns:
        The pairs, without folds and subjects, which the format does not hold, and the pictures they name.

    Raises:
        DatasetUnsafe: the file asks for anything beyond plain data.
        DatasetInvalid: cut short, another layout, or not two pictures per label.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DatasetInvalid(f"{path} has more than {MAX_FILE_BYTES >> 30} GiB: split it")
        with path.open("rb") as stream:
            if stream.read(4) == b"PK\x03\x04":
                raise DatasetInvalid(
                    f"{path} is not a pair file but a zip: read it as pictures or as an archive"
                )
            stream.seek(0)
            source = Source(stream, size, MAX_PICTURE_BYTES, str(path))
            pictures, labels = _parts(read_plain(source), source)
            same = _labels(labels, source)
            spans = _spans(pictures, len(same), source)
            named = {_name(number, span, source): span for number, span in enumerate(spans)}
        opened = BinPictures(path, named)
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
    names = tuple(named)
    return Pairs(path.stem, names[0::2], names[1::2], same), opened


def _parts(value: Plain, source: Source) -> tuple[Plain, Plain]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise DatasetInvalid(
            f"{source.name} holds {described(value)} where a pair file holds (pictures, labels): it is of "
            "another "
            "format"
        )
    return value[0], value[1]


def _labels(labels: Plain, source: Source) -> np.ndarray:
    """(P,) bool."""
    if isinstance(labels, Array) and labels.data is not None:
        listed: Sequence[Plain] = list(source.bytes_of(labels.data))
    elif isinstance(labels, list | tuple):
        listed = labels
    else:
        raise DatasetInvalid(f"{source.name} holds {described(labels)} where a list of labels is due")
    if not 1 <= len(listed) <= MAX_PAIRS:
        raise DatasetInvalid(f"{source.name} holds {len(listed)} labels where 1 to {MAX_PAIRS} are read")
    for number, label in enumerate(listed):
        if not isinstance(label, int) or label not in (0, 1):
            raise DatasetInvalid(f"{source.name}: label {number} is {described(label)}, not true or false")
    return np.array(listed, dtype=np.bool_)


def _spans(pictures: Plain, pairs: int, source: Source) -> list[Span]:
    """Where the pictures lie."""
    if not isinstance(pictures, list | tuple):
        raise DatasetInvalid(f"{source.name} holds {described(pictures)} where a list of pictures is due")
    if len(pictures) != 2 * pairs:
        raise DatasetInvalid(
            f"{source.name} holds {len(pictures)} pictures and {pairs} labels: there must be two pictures "
            "per label"
        )
    found: list[Span] = []
    for number, picture in enumerate(pictures):
        array = picture if isinstance(picture, Array) else None
        span = picture if array is None else array.data
        if not isinstance(span, Span) or span.text or (array is not None and array.kind != "u1"):
            raise DatasetInvalid(
                f"{source.name}: picture {number} is {described(picture)}, not the bytes of an encoded "
                "picture"
            )
        found.append(span)
    return found


def _name(number: int, span: Span, source: Source) -> str:
    """`00001a.jpg` and `00001b.jpg` for the first pair; without a suffix for what is no picture."""
    suffix = _SUFFIXES.get(sniff(source.head_of(span, _MARK_BYTES)) or "", "")
    return f"{number // 2 + 1:05d}{'ab'[number % 2]}{suffix}"
