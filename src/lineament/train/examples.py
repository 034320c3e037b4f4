"""What is trained on: encoded pictures, each with the number of its person.

    open_examples → RecordIO | folder | zip | tar → without what `data.exclude` lists → `Examples`

A row is one picture. Persons are numbered densely from 0 in the order of `classes`, so that a class centre
belongs to a number as long as the data stay the same; `digest` tells whether they did.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, TypeVar, final, runtime_checkable

import numpy as np
from jaxtyping import Int64

from lineament.core.errors import DatasetInvalid, InvalidArgument, RecipeInvalid
from lineament.datasets.folders import FolderPictures
from lineament.datasets.labelled import read_exclusions, read_labelled
from lineament.datasets.port import Pictures
from lineament.datasets.recordio import RecordFile
from lineament.datasets.tables import shown
from lineament.datasets.tarred import TarPictures, looks_like_tar
from lineament.datasets.zipped import ZipPictures
from lineament.train.recipe import Data

_TRAIN: Final = "train.rec"
_CLASSES: Final = "classes.txt"
_RECORDS: Final = b"\x0a\x23\xd7\xce"
_HEAD_BYTES: Final = 512
_ZIP: Final = b"PK"
_NAMES_AT_ONCE: Final = 1 << 16


@runtime_checkable
class Store(Protocol):
    """Pictures by number, wherever they lie. `read` may be called from several threads at once."""

    def name(self, number: int) -> str:
        """What the picture is called."""
        ...

    def read(self, number: int) -> bytes:
        """The encoded picture.

        Raises:
            ImageError, DatasetError: it cannot be read.
        """
        ...

    def find(self, name: str) -> int | None:
        """The number of the picture of this name; None when there is none."""
        ...

    def describe(self) -> str:
        """What it is, for people."""
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...


@final
class Examples:
    """Pictures with the numbers of their persons.

    Args:
        store: where the pictures are.
        rows: int64 (n,), their numbers in the store.
        labels: int64 (n,), of persons, into `names`.
        names: of persons. Those without pictures are left out of `classes`, and the others numbered densely.
        remarks: sentences for people about what was found when the data were opened.

    Attributes:
        rows: int64 (n,), numbers in the store.
        labels: int64 (n,), 0 .. number of classes - 1; every class has at least one picture.
        classes: names of the persons by number.
        remarks: as given.
    """

    def __init__(
        self,
        store: Store,
        rows: Int64[np.ndarray, "n"],
        labels: Int64[np.ndarray, "n"],
        names: Sequence[str],
        remarks: tuple[str, ...] = (),
    ) -> None:
        used, dense = np.unique(labels, return_inverse=True)
        self._store = store
        self.rows = rows
        self.labels: Int64[np.ndarray, "n"] = dense.reshape(-1).astype(np.int64)
        self.classes: tuple[str, ...] = tuple(str(names[number]) for number in used.tolist())
        self.remarks = remarks
        # Rows are handed to threads and to samplers: nobody may change them under the others.
        self.rows.flags.writeable = self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        """What a picture is called: its path in the set, or `PERSON/KEY` in RecordIO."""
        return self._store.name(int(self.rows[row]))

    def read(self, row: int) -> bytes:
        """The encoded picture; several threads may read at once.

        Raises:
            ImageError, DatasetError: it cannot be read.
        """
        return self._store.read(int(self.rows[row]))

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over the names of the pictures and of their persons, in order."""
        digest = hashlib.sha256("\n".join(self.classes).encode("utf-8", "surrogatepass"))
        digest.update(self.labels.astype("<i8").tobytes())
        for begin in range(0, len(self), _NAMES_AT_ONCE):
            rows = self.rows[begin : begin + _NAMES_AT_ONCE].tolist()
            names = "\n".join(map(self._store.name, rows)) + "\n"
            digest.update(names.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def take(self, rows: Int64[np.ndarray, "m"], *, remarks: tuple[str, ...] | None = None) -> "Examples":
        """Some of the pictures, in the order given; persons are numbered anew and keep their names.

        The store is shared: closing either closes both.

        Raises:
            DatasetInvalid: none.
        """
        if not len(rows):
            raise DatasetInvalid(f"{self.describe()}: no picture is left: exclude fewer")
        kept = self.remarks if remarks is None else remarks
        return Examples(self._store, self.rows[rows], self.labels[rows], self.classes, kept)

    def find(self, names: Sequence[str]) -> tuple[Int64[np.ndarray, "m"], tuple[str, ...]]:
        """Rows of the pictures and persons of these names, and the names that nothing has."""
        person = {name: number for number, name in enumerate(self.classes)}
        found = {name: self._store.find(name) for name in names if name not in person}
        numbers = [number for number in found.values() if number is not None]
        wanted = [person[name] for name in names if name in person]
        rows = np.flatnonzero(np.isin(self.rows, numbers) | np.isin(self.labels, wanted))
        return rows.astype(np.int64), tuple(name for name, number in found.items() if number is None)

    def describe(self) -> str:
        """What the data are, for people."""
        return f"{self._store.describe()}; {len(self)} pictures of {len(self.classes)} persons"

    def close(self) -> None:
        """Let go of open files. Nothing can be read afterwards."""
        self._store.close()


def open_examples(data: Data) -> Examples:
    """The pictures that a recipe names. Close them when done.

    Raises:
        DatasetInvalid: nothing there, none of the known forms, damaged, or fewer than two persons left.
        RecipeInvalid: no path is set, or `data.fewest` or `data.up` is less than 1.
    """
    if not data.path:
        raise RecipeInvalid(
            "data.path is empty: set it to a RecordIO folder, an image folder, a zip or a tar"
        )
    for name, value in (("fewest", data.fewest), ("up", data.up)):
        if value < 1:
            raise RecipeInvalid(f"data.{name} = {value}: set it to 1 or more")
    found = _open(Path(os.path.expandvars(data.path)).expanduser(), data.up)
    try:
        kept = _with_enough(_without_excluded(found, data.exclude), data.fewest)
        if len(kept.classes) < 2:
            raise DatasetInvalid(
                f"{kept.describe()}: at least 2 persons are needed; check data.path, data.up and data.fewest"
            )
    except BaseException:
        found.close()
        raise
    return kept


def split_held_out(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Persons to train on, and persons to choose the best checkpoint with.

    Who is held out follows from each person's name and the seed alone, so that added persons leave the others
    nearly as they were, and the order of the data does not matter.

    Args:
        examples: all of them.
        share: of the persons that are held out, above 0 and below 1; rounded to whole persons.
        seed: of the choice.

    Returns:
        Those to train on, and those held out.

    Raises:
        InvalidArgument: `share` is not between 0 and 1.
        DatasetInvalid: fewer than two persons of two pictures or more would be held out, or fewer than two
            persons be left.
    """
    if not 0.0 < share < 1.0:
        raise InvalidArgument(f"a share of {share:g} cannot be held out: give a number between 0 and 1")
    persons = len(examples.classes)
    ranks = [hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")) for name in examples.classes]
    order = sorted(range(persons), key=lambda number: (ranks[number].digest(), number))
    out = np.zeros(persons, bool)
    out[order[: round(share * persons)]] = True
    pairs = int((np.bincount(examples.labels, minlength=persons)[out] >= 2).sum())
    if pairs < 2 or persons - int(out.sum()) < 2:
        raise DatasetInvalid(
            f"{examples.describe()}: data.held_out = {share:g} holds out {int(out.sum())} persons, {pairs} "
            "of them with 2 pictures or more, and at least 2 such are needed, and 2 persons to train on: set "
            "another share, or 0 to hold out nobody"
        )
    held = out[examples.labels]
    train, other = np.flatnonzero(~held).astype(np.int64), np.flatnonzero(held).astype(np.int64)
    return examples.take(train), examples.take(other)


@final
class _Listed:
    """Pictures of a folder, zip or tar."""

    def __init__(self, pictures: Pictures, names: Sequence[str]) -> None:
        self._pictures, self._names = pictures, names

    def name(self, number: int) -> str:
        return self._names[number]

    def read(self, number: int) -> bytes:
        return self._pictures.read(self._names[number])

    def find(self, name: str) -> int | None:
        return self._numbers.get(name)

    def describe(self) -> str:
        return self._pictures.describe()

    def close(self) -> None:
        self._pictures.close()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._names)}


@final
class _Records:
    """Pictures of a RecordIO file, called `PERSON/KEY`; names are made when asked for."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def name(self, number: int) -> str:
        return f"{int(self._file.labels[number, 0])}/{self._file.keys[number]}"

    def read(self, number: int) -> bytes:
        return self._file.read(number).content

    def find(self, name: str) -> int | None:
        key = name.rpartition("/")[2]
        if not (key.isascii() and key.isdecimal() and len(key) < 19):
            return None
        number = int(self._file.rows_of(np.array([int(key)], np.int64))[0])
        return number if number >= 0 and self.name(number) == name else None

    def describe(self) -> str:
        return f"{self._file.path}: RecordIO of {len(self._file)} records"

    def close(self) -> None:
        self._file.close()


def _open(path: Path, up: int) -> Examples:
    if path.is_dir():
        if (path / _TRAIN).is_file():
            return _closing(RecordFile(path / _TRAIN), _of_records)
        shards = sorted(path.glob("*.tar"))
        # A folder of shards holds nothing else that could be meant.
        if shards and not any(place.is_dir() for place in path.iterdir()):
            return _closing(TarPictures(*shards), lambda tar: _of_tar(tar, up))
        return _closing(FolderPictures(path), lambda pictures: _of_folders(pictures, up))
    head = _head(path)
    if head.startswith(_RECORDS) or path.suffix.lower() == ".rec":
        return _closing(RecordFile(path), _of_records)
    if head.startswith(_ZIP):
        return _closing(ZipPictures(path), lambda pictures: _of_folders(pictures, up))
    try:
        if looks_like_tar(head):
            return _closing(TarPictures(path), lambda tar: _of_tar(tar, up))
    except DatasetInvalid as error:
        raise DatasetInvalid(f"{path}: {error.message}") from error
    raise DatasetInvalid(
        f"{path} is none of what can be trained on: name a folder with {_TRAIN}, a .rec file, a folder with "
        "one folder per person, or a zip or tar of those"
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}; set data.path") from error


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


_Opened = TypeVar("_Opened", bound=_Closable)


def _closing(opened: _Opened, make: Callable[[_Opened], Examples]) -> Examples:
    try:
        return make(opened)
    except BaseException:
        opened.close()
        raise


def _of_folders(pictures: Pictures, up: int) -> Examples:
    found = read_labelled(pictures, up=up)
    rows = np.arange(len(found), dtype=np.int64)
    store = _Listed(pictures, found.samples)
    return Examples(store, rows, found.subject.astype(np.int64), found.subjects)


def _of_tar(tar: TarPictures, up: int) -> Examples:
    if not tar.labels:
        return _of_folders(tar, up)
    names = tuple(tar.names)
    # Numbers in their own order, 2 before 10, then words.
    persons = sorted(set(tar.labels.values()), key=lambda p: (not p.isdecimal(), len(p) * p.isdecimal(), p))
    number = {person: n for n, person in enumerate(persons)}
    labels = np.array([number[tar.labels[name]] for name in names], dtype=np.int64)
    return Examples(_Listed(tar, names), np.arange(len(names), dtype=np.int64), labels, persons)


def _of_records(file: RecordFile) -> Examples:
    rows = file.picture_rows()
    values = file.labels[rows, 0]
    wrong = ~(np.isfinite(values) & (values >= 0) & (values == np.floor(values)))
    if (bad := np.flatnonzero(wrong)).size:
        row = rows[bad[0]]
        raise DatasetInvalid(
            f"{file.path}, byte {file.offsets[row]}: the label of key {file.keys[row]} is {values[bad[0]]:g}"
            ", which is no person's number: write the file again"
        )
    persons, labels = np.unique(values.astype(np.int64), return_inverse=True)
    remarks = (f"{file.path} has no .idx: {len(file)} records were found by reading it through",)
    names = _named(file.path.with_name(_CLASSES), persons)
    return Examples(_Records(file), rows, labels.reshape(-1), names, remarks if file.rebuilt else ())


def _named(listing: Path, persons: np.ndarray) -> list[str]:
    """Names of numbered persons: lines of the `classes.txt` that `train prepare` writes beside records."""
    numbers = persons.tolist()
    try:
        # Not `splitlines`, which also ends a line at characters that a name may hold.
        lines = listing.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except FileNotFoundError:
        return [str(number) for number in numbers]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetInvalid(f"cannot read {listing}: {error}; make it readable, or remove it") from error
    if numbers and numbers[-1] >= len(lines):
        raise DatasetInvalid(
            f"{listing} names {len(lines)} persons, and the records have number {numbers[-1]}: they are not "
            "of one data set; remove the list, or prepare the data again"
        )
    return [lines[number] for number in numbers]


def _without_excluded(examples: Examples, exclude: str) -> Examples:
    if not exclude:
        return examples
    listed = tuple(read_exclusions(Path(os.path.expandvars(exclude)).expanduser()))
    out, unmatched = examples.find(listed)
    kept = np.setdiff1d(np.arange(len(examples), dtype=np.int64), out)
    remarks = [*examples.remarks, f"{len(out)} pictures are left out because {exclude} lists them"]
    if unmatched:
        remarks.append(
            f"{len(unmatched)} of {len(listed)} entries of {exclude} name nothing here: {shown(unmatched, 3)}"
        )
    return examples.take(kept, remarks=tuple(remarks))


def _with_enough(examples: Examples, fewest: int) -> Examples:
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    if not (few := int((counts < fewest).sum())):
        return examples
    kept = np.flatnonzero(counts[examples.labels] >= fewest).astype(np.int64)
    if not len(kept):
        raise DatasetInvalid(f"{examples.describe()}: nobody has {fewest} pictures: set data.fewest lower")
    remark = f"{few} of {len(counts)} persons have fewer than {fewest} pictures and are left out"
    return examples.take(kept, remarks=(*examples.remarks, remark))
