"""Writing MXNet RecordIO, byte for byte as MXNet 1.9.1 does; the format is described in `recordio.py`."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import final

import numpy as np

from lineament.core.errors import InvalidArgument, OutputFailed
from lineament.datasets.recordio import (
    FIRST,
    HEADER,
    LAST,
    LENGTH_BITS,
    MAGIC,
    MAGIC_BYTES,
    MIDDLE,
    PART,
    WHOLE,
    Record,
    padded,
)


def pack(record: Record) -> bytes:
    """The bytes of a record, as `mxnet.recordio.pack` makes them.

    Raises:
        InvalidArgument: `flag` is not the number of labels, or 0 for one.
    """
    if len(record.label) != max(record.flag, 1):
        raise InvalidArgument(f"a record of flag {record.flag} has {len(record.label)} labels")
    single = float(record.label[0]) if record.flag == 0 else 0.0
    head = HEADER.pack(record.flag, single, record.id, record.id2)
    return head + (record.label.astype("<f4").tobytes() if record.flag else b"") + record.content


def in_parts(payload: bytes) -> bytes:
    """A record as it lies in the file: marked, cut at every aligned magic word, padded.

    Raises:
        InvalidArgument: 2^29 bytes or more.
    """
    if len(payload) >= 1 << LENGTH_BITS:
        raise InvalidArgument(f"a record of {len(payload)} bytes: RecordIO holds less than 512 MiB in one")
    cuts: list[int] = []
    if MAGIC_BYTES in payload:
        words = np.frombuffer(payload, "<u4", len(payload) // 4)
        cuts = [4 * int(at) for at in np.flatnonzero(words == MAGIC)]
    pieces: list[bytes] = []
    begin = 0
    for number, cut in enumerate(cuts):
        pieces.append(_part(MIDDLE if number else FIRST, payload[begin:cut]))
        begin = cut + 4
    pieces.append(_part(LAST if cuts else WHOLE, payload[begin:]))
    return b"".join(pieces)


def _part(cflag: int, content: bytes) -> bytes:
    filled = content.ljust(padded(len(content)), b"\0")
    return PART.pack(MAGIC, cflag << LENGTH_BITS | len(content)) + filled


@final
class RecordWriter:
    """Writes a `.rec` file and the `.idx` beside it. Use it in a `with` statement.

    Args:
        path: the `.rec` file; it must not be there.

    Raises:
        OutputFailed: it is there, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: set[int] = set()
        try:
            self._records = path.open("xb")
            self._index = path.with_suffix(".idx").open("x", encoding="ascii", newline="\n")
        except OSError as error:
            raise _failed(path, error) from error

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, key: int, record: Record | bytes) -> None:
        """Append a record, or the bytes of one.

        Raises:
            InvalidArgument: a key that was written before, or a record that cannot be packed.
            OutputFailed: the disk is full, or cannot be written.
        """
        if key in self._keys:
            raise InvalidArgument(f"key {key} was written before: give every record a key of its own")
        payload = record if isinstance(record, bytes) else pack(record)
        try:
            begin = self._records.tell()
            self._records.write(in_parts(payload))
            self._index.write(f"{key}\t{begin}\n")
        except OSError as error:
            raise _failed(self.path, error) from error
        self._keys.add(key)

    def replace_first(self, record: Record) -> None:
        """Write the first record again, with other values of the same length.

        Raises:
            OutputFailed: the file cannot be written.
        """
        try:
            end = self._records.tell()
            self._records.seek(0)
            self._records.write(in_parts(pack(record)))
            self._records.seek(end)
        except OSError as error:
            raise _failed(self.path, error) from error

    def close(self) -> None:
        """Write out and close both files.

        Raises:
            OutputFailed: the disk is full.
        """
        try:
            self._records.close()
            self._index.close()
        except OSError as error:
            raise _failed(self.path, error) from error


def write_recordio(folder: Path, persons: Iterable[Sequence[bytes]], size: int = 112) -> int:
    """Pictures in InsightFace's layout: `train.rec`, `train.idx`, `property`; any of its trainers reads it.

    Args:
        folder: where to write; it is made when it is not there.
        persons: the encoded pictures of each person, who is numbered from 0 on.
        size: side of the pictures, for `property`.

    Returns:
        How many pictures were written.

    Raises:
        OutputFailed: the files are there already, or cannot be written.
        InvalidArgument: a person without pictures, or nobody.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(folder, error) from error
    spans: list[tuple[int, int]] = []
    key = 1
    with RecordWriter(folder / "train.rec") as writer:
        writer.write(0, _span(0, 0, 0))
        for number, pictures in enumerate(persons):
            if not pictures:
                raise InvalidArgument(f"person {number} has no pictures: leave the person out")
            first = key
            for content in pictures:
                writer.write(key, Record(0, np.array([number], np.float32), key, 0, content))
                key += 1
            spans.append((first, key))
        if not spans:
            raise InvalidArgument("there is nobody to write: give at least one person")
        for number, (first, end) in enumerate(spans):
            writer.write(key + number, _span(first, end, key + number))
        # How many there are is known at the end only.
        writer.replace_first(_span(key, key + len(spans), 0))
    try:
        (folder / "property").write_text(f"{len(spans)},{size},{size}\n", "ascii")
    except OSError as error:
        raise _failed(folder, error) from error
    return key - 1


def _span(first: int, end: int, number: int) -> Record:
    """A record without a picture whose two labels are keys; float32 holds them exactly up to 2^24."""
    label = np.array([first, end], np.float32)
    if struct.pack("<I", MAGIC) in label.tobytes() or int(label[1]) != end:
        raise InvalidArgument(f"key {end} has no exact float32: write several files of fewer pictures")
    return Record(2, label, number, 0, b"")


def _failed(path: Path, error: OSError) -> OutputFailed:
    return OutputFailed(f"cannot write {path}: {error.strerror or error}; choose another place or make room")
