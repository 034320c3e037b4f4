"""MXNet RecordIO, read without MXNet: the form in which InsightFace's training data are shared.

A `.rec` file is a chain of parts: magic word, a word of 3 bits `cflag` and 29 bits length, that many bytes,
zeros up to a multiple of four; all little-endian. A record is one part (cflag 0). Where its own bytes hold
the magic word at a multiple of four it is cut there, the word is left out, and the parts are marked 1
(first), 2 (middle) and 3 (last). (Source: dmlc-core `recordio.h` by its behaviour, measured on MXNet 1.9.1.)

A record holds `IRHeader` (uint32 flag, float32 label, uint64 id, uint64 id2), then `flag` float32 labels that
take the place of `label`, then the encoded picture. `train.idx` lists `key<TAB>offset`. Record 0 with labels
(a, b) says: pictures have the keys 1..a-1, and the records a..b-1 have no picture but the first and the last
key of one person each (Guo et al., InsightFace, `dataset.py`).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt32

from lineament.core.errors import DatasetInvalid
from lineament.datasets.port import MAX_PICTURE_BYTES
from lineament.datasets.random_access import RandomAccess

MAGIC: Final = 0xCED7230A
MAGIC_BYTES: Final = struct.pack("<I", MAGIC)
WHOLE, FIRST, MIDDLE, LAST = 0, 1, 2, 3
LENGTH_BITS: Final = 29
HEADER: Final = struct.Struct("<IfQQ")
PART: Final = struct.Struct("<II")
_CHUNK: Final = 1 << 16
# Keys up to 2^27 differ from their float32 by no more than this.
_SLACK: Final = 8
_INDEX_BYTES: Final = 1 << 24
# With the first two labels: enough of every record to tell what it is.
_HEAD_BYTES: Final = PART.size + HEADER.size + 8


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One record.

    Attributes:
        flag: how many labels follow the header; 0 for the one in it.
        label: float32 (max(flag, 1),); the first is the person's number.
        id: as the writer chose, usually the key.
        id2: likewise, usually 0.
        content: the encoded picture; empty in header records.
    """

    flag: int
    label: Float32[np.ndarray, "k"]
    id: int
    id2: int
    content: bytes


@final
class RecordFile:
    """A `.rec` file with its `.idx`; where that is absent, records are found by walking the file.

    Keys are then the numbers of the records from 0 on, as MXNet's own `rec2idx` gives them.

    Args:
        path: the `.rec` file.

    Attributes:
        keys: int64 (n,), in the order of the index.
        offsets: int64 (n,), where each record begins, bytes.
        rebuilt: whether there was no `.idx`.

    Raises:
        DatasetInvalid: no such file, or an index or a record that is damaged; the message names its place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = path.with_suffix(".idx")
        self._file = RandomAccess(path)
        try:
            self.rebuilt = not index.exists()
            if self.rebuilt:
                self.offsets = _walk(self._file)
                self.keys = np.arange(len(self.offsets), dtype=np.int64)
            else:
                self.keys, self.offsets = read_index(index)
            if not len(self.keys):
                raise DatasetInvalid(f"{path if self.rebuilt else index} holds no record: get it again")
            self._sorted = np.argsort(self.keys, kind="stable")
            self._ordered = self.keys[self._sorted]
            self._check_index(index)
            self._heads = self._read_heads()
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def flags(self) -> UInt32[np.ndarray, "n"]:
        """How many labels each record has besides its header's."""
        return self._heads["flag"]

    @property
    def labels(self) -> Float32[np.ndarray, "n 2"]:
        """The first two labels of each record; the second is NaN where there is one only."""
        return self._heads["label"]

    def rows_of(self, keys: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
        """Positions in `keys` of these keys; -1 where there is none."""
        at = np.minimum(np.searchsorted(self._ordered, keys), len(self._ordered) - 1)
        return np.where(self._ordered[at] == keys, self._sorted[at], -1).astype(np.int64)

    def picture_rows(self) -> Int64[np.ndarray, "m"]:
        """Which records are pictures of persons: those that record 0 announces, or all without such a record.

        Raises:
            DatasetInvalid: record 0 announces pictures that the index does not have.
        """
        zero = int(self.rows_of(np.zeros(1, np.int64))[0])
        if zero < 0 or not self.flags[zero]:
            return np.arange(len(self), dtype=np.int64)
        end = float(self.labels[zero, 0])
        if not 1 < end <= len(self) or end != int(end):
            raise DatasetInvalid(
                f"{self.path}: its first record announces pictures up to key {end - 1:g}, and there are "
                f"{len(self)} records: the index or the file is cut off; get both again"
            )
        near = self.rows_of(np.arange(int(end) - _SLACK, int(end) + _SLACK, dtype=np.int64))
        empty = (near >= 0) & (self._heads["length"][near] == HEADER.size + 4 * self.flags[near])
        rows = self.rows_of(np.arange(1, exact_end(int(end), empty), dtype=np.int64))
        if (missing := np.flatnonzero(rows < 0)).size:
            raise DatasetInvalid(
                f"{self.path}: its first record announces key {missing[0] + 1}, which is not in the index: "
                "get the .idx again, or remove it to have it rebuilt"
            )
        return rows

    def read(self, row: int) -> Record:
        """The record at a position in `keys`; several threads may read at once.

        Raises:
            DatasetInvalid: it is damaged; the message names its offset.
        """
        return parse(self.payload(row), f"{self.path}, byte {self.offsets[row]}")

    def payload(self, row: int) -> bytes:
        """All bytes of the record at a position in `keys`, parts joined.

        Raises:
            DatasetInvalid: it is damaged.
        """
        offset = int(self.offsets[row])
        length = int(self._heads["length"][row])
        if length < 1 << LENGTH_BITS:
            return self._file.read(offset + PART.size, length)
        return self._joined(offset)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _joined(self, offset: int) -> bytes:
        """A record in parts, with the magic word between them again."""
        parts: list[bytes] = []
        at, total = offset, 0
        while True:
            cflag, length = part_at(self._file, at)
            if (cflag == FIRST) != (at == offset) or cflag == WHOLE:
                raise _damaged(self.path, at, f"a part marked {cflag} inside a record")
            if (total := total + length + 4) > MAX_PICTURE_BYTES:
                raise _damaged(self.path, offset, "a record larger than any picture")
            parts.append(self._file.read(at + PART.size, length))
            if cflag == LAST:
                return MAGIC_BYTES.join(parts)
            at += PART.size + padded(length)

    def _check_index(self, index: Path) -> None:
        if (twice := np.flatnonzero(self._ordered[1:] == self._ordered[:-1])).size:
            raise DatasetInvalid(f"{index} lists key {self._ordered[twice[0]]} twice: get it again")
        wrong = (self.offsets < 0) | (self.offsets > self._file.size - PART.size) | (self.offsets % 4 != 0)
        if (bad := np.flatnonzero(wrong)).size:
            raise DatasetInvalid(
                f"{index} says that key {self.keys[bad[0]]} begins at byte {self.offsets[bad[0]]}, and "
                f"{self.path.name} has {self._file.size} bytes: one of the two is cut off or of another "
                "data set; get both again"
            )

    def _read_heads(self) -> np.ndarray:
        """Length, flag and labels of all records: a few bytes of each, through a mapping of the file."""
        kind = np.dtype([("length", "<u4"), ("flag", "<u4"), ("label", "<f4", (2,))])
        heads = np.empty(len(self), kind)
        view = self._file.mapped()
        for begin in range(0, len(self), _CHUNK):
            offsets = self.offsets[begin : begin + _CHUNK]
            # At the file's end a record may be shorter than what is looked at.
            places = np.minimum(offsets[:, None] + np.arange(_HEAD_BYTES), self._file.size - 1)
            words = np.ascontiguousarray(view[places]).view("<u4").reshape(len(offsets), -1)
            self._check_parts(offsets, words)
            part = heads[begin : begin + _CHUNK]
            part["length"], part["flag"] = words[:, 1], words[:, 2]
            several = words[:, 2] > 0
            labels = words.view("<f4")
            part["label"][:, 0] = np.where(several, labels[:, 8], labels[:, 3])
            part["label"][:, 1] = np.where(words[:, 2] > 1, labels[:, 9], np.nan)
        # The mark in the upper bits makes the length of a record in parts larger than any length.
        for row in np.flatnonzero(heads["length"] >= 1 << LENGTH_BITS):
            record = parse(self._joined(int(self.offsets[row])), f"{self.path}, byte {self.offsets[row]}")
            heads["flag"][row] = record.flag
            heads["label"][row] = (record.label[0], record.label[1] if len(record.label) > 1 else np.nan)
        return heads

    def _check_parts(self, offsets: np.ndarray, words: np.ndarray) -> None:
        length = (words[:, 1] & ((1 << LENGTH_BITS) - 1)).astype(np.int64)
        cflag = words[:, 1] >> LENGTH_BITS
        if (bad := np.flatnonzero(words[:, 0] != MAGIC)).size:
            raise _damaged(self.path, int(offsets[bad[0]]), "no record begins there")
        if (bad := np.flatnonzero(cflag > FIRST)).size:
            raise _damaged(self.path, int(offsets[bad[0]]), f"a record begins with part {cflag[bad[0]]}")
        if (bad := np.flatnonzero(offsets + PART.size + length > self._file.size)).size:
            at = int(offsets[bad[0]])
            raise _cut(self.path, at, int(length[bad[0]]), self._file.size)
        needed = HEADER.size + 4 * words[:, 2].astype(np.int64)
        short = (cflag == WHOLE) & ((length < HEADER.size) | (length < needed))
        if (bad := np.flatnonzero(short)).size:
            raise _damaged(self.path, int(offsets[bad[0]]), "a record shorter than its own header")


def exact_end(announced: int, empty: Bool[np.ndarray, "m"]) -> int:
    """The first key after the pictures, where a float32 holds it only nearly: from 2^24 on.

    Args:
        announced: the rounded key.
        empty: which of the m keys from `announced` - m/2 on are records without a picture; the first of them
            follows the pictures.
    """
    if announced < 1 << 24 or not empty.any():
        return announced
    return announced - len(empty) // 2 + int(np.argmax(empty))


def parse(payload: bytes, where: str) -> Record:
    """The header, labels and picture of a record's bytes.

    Args:
        payload: all bytes of the record.
        where: how messages begin.

    Raises:
        DatasetInvalid: fewer bytes than the header and its labels.
    """
    if len(payload) < HEADER.size:
        raise DatasetInvalid(f"{where}: a record shorter than its own header: the file is damaged")
    flag, label, number, number2 = HEADER.unpack_from(payload)
    begin = HEADER.size + 4 * flag
    if begin > len(payload):
        raise DatasetInvalid(f"{where}: a record shorter than its own {flag} labels: the file is damaged")
    labels = np.frombuffer(payload, "<f4", flag, HEADER.size) if flag else np.array([label], np.float32)
    return Record(flag, labels.astype(np.float32), number, number2, payload[begin:])


def part_at(file: RandomAccess, offset: int) -> tuple[int, int]:
    """(cflag, length) of the part at an offset.

    Raises:
        DatasetInvalid: there is none, or it reaches beyond the end of the file.
    """
    if offset + PART.size > file.size:
        raise _cut(file.path, offset, PART.size, file.size)
    magic, word = PART.unpack(file.read(offset, PART.size))
    if magic != MAGIC:
        raise _damaged(file.path, offset, "no record begins there")
    length = word & ((1 << LENGTH_BITS) - 1)
    if offset + PART.size + length > file.size:
        raise _cut(file.path, offset, length, file.size)
    return word >> LENGTH_BITS, length


def padded(length: int) -> int:
    """A length rounded up to a multiple of four."""
    return -(-length // 4) * 4


def read_index(path: Path) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """Keys and offsets of an `.idx` file, in its order.

    Raises:
        DatasetInvalid: not lines of two whole numbers; the message names the first byte of the bad piece.
    """
    found: list[np.ndarray] = []
    at, rest = 0, b""
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_INDEX_BYTES):
                # Whole lines only; what is left over belongs to the next piece.
                lines, newline, after = (rest + chunk).rpartition(b"\n")
                found.append(_numbers(lines + newline, path, at))
                at, rest = at + len(lines) + len(newline), after
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
    found.append(_numbers(rest, path, at))
    numbers = np.concatenate(found)
    return numbers[:, 0].copy(), numbers[:, 1].copy()


def _numbers(lines: bytes, path: Path, at: int) -> Int64[np.ndarray, "n 2"]:
    if not lines.strip():
        return np.empty((0, 2), np.int64)
    words = lines.split()
    rows = sum(1 for line in lines.split(b"\n") if line.strip())
    try:
        numbers = np.array(words).astype(np.int64)
    except (ValueError, OverflowError):
        numbers = np.empty(0, np.int64)
    if len(words) != 2 * rows or len(numbers) != len(words):
        raise DatasetInvalid(
            f"{path}, from byte {at} on: not lines of a key, a tab and an offset: get it again, or remove "
            "it to have it rebuilt"
        )
    return numbers.reshape(-1, 2)


def _walk(file: RandomAccess) -> Int64[np.ndarray, "n"]:
    """Offsets of all records, from part to part."""
    view = file.mapped().data
    offsets: list[int] = []
    at, inside = 0, False
    while at < file.size:
        if at + PART.size > file.size:
            raise _cut(file.path, at, PART.size, file.size)
        magic, word = PART.unpack_from(view, at)
        cflag, length = word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1)
        if magic != MAGIC or cflag > LAST or inside != (cflag in (MIDDLE, LAST)):
            raise _damaged(
                file.path, at, "no record begins there" if magic != MAGIC else "parts out of order"
            )
        if at + PART.size + padded(length) > file.size:
            raise _cut(file.path, at, length, file.size)
        if not inside:
            offsets.append(at)
        inside = cflag in (FIRST, MIDDLE)
        at += PART.size + padded(length)
    if inside:
        raise _cut(file.path, at, PART.size, file.size)
    return np.array(offsets, dtype=np.int64)


def _damaged(path: Path, offset: int, why: str) -> DatasetInvalid:
    return DatasetInvalid(f"{path}, byte {offset}: {why}; the file is damaged, or its .idx is of another one")


def _cut(path: Path, offset: int, length: int, size: int) -> DatasetInvalid:
    return DatasetInvalid(
        f"{path}, byte {offset}: {length} bytes are announced, and the file ends at byte {size}: it is cut "
        "off; get it again"
    )
