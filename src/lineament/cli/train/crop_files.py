"""Crops as training data: a zip with a folder per person, or a RecordIO folder. Whole or not at all.

The bytes of the files follow from the crops alone: no time and no order of work is in them.
"""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lineament.core.errors import DatasetInvalid, InvalidArgument, OutputFailed
from lineament.core.files import replacing
from lineament.datasets.labelled import Labelled
from lineament.datasets.recordio_write import write_recordio
from lineament.datasets.zipped import safe_name
from lineament.vision.containers import PICTURE_SUFFIXES

CLASSES: Final = "classes.txt"
RECORD_FILES: Final = frozenset({"train.rec", "train.idx", "property", CLASSES})
# The first moment that a zip can name.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_ORDINARY_FILE: Final = 0o100644 << 16
_UNIX: Final = 3
_UNFIT: Final = re.compile(r"[\\/\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Person:
    """A person with at least one crop.

    Attributes:
        name: of the person.
        samples: photographs that gave a crop, in order.
        targets: what each crop is called, `NAME/picture.jpg`.
    """

    name: str
    samples: tuple[str, ...]
    targets: tuple[str, ...]


Read = Callable[[str], bytes]
"""The encoded crop of a photograph."""


def check_persons(labelled: Labelled) -> None:
    """Refuse persons whose names the files cannot hold, before any work is done.

    Raises:
        DatasetInvalid: a name with a backslash, a line break or bytes that are no text, or like `C:`.
    """
    for person in labelled.subjects:
        shown = person.encode("utf-8", "backslashreplace").decode()
        why = f"the folder {shown!r} cannot be the name of a person in a zip or a list: rename it"
        if _UNFIT.search(person) or person != person.strip():
            raise DatasetInvalid(why)
        safe_name(f"{person}/1.jpg", why)


def targets_of(labelled: Labelled, up: int, suffix: str) -> list[str]:
    """What the crop of each photograph is called: `NAME/picture.jpg`, each name once in any case of letters.

    Folders between person and picture become part of its name: `Ada/frontal/1.png` is `Ada/frontal_1.jpg`.
    """
    taken: set[str] = set()
    found: list[str] = []
    for sample, number in zip(labelled.samples, labelled.subject.tolist(), strict=True):
        rest = "_".join(sample.split("/")[-up:])
        stem, dot, ending = rest.rpartition(".")
        stem = stem if stem and f"{dot}{ending}".lower() in PICTURE_SUFFIXES else rest
        base = f"{labelled.subjects[number]}/{_UNFIT.sub('_', stem)}"
        target, count = f"{base}{suffix}", 2
        while target.casefold() in taken:
            target, count = f"{base}-{count}{suffix}", count + 1
        taken.add(target.casefold())
        found.append(target)
    return found


def write_zip(path: Path, persons: Sequence[Person], read: Read) -> None:
    """All crops, stored as they are, in one folder per person.

    Raises:
        OutputFailed: it cannot be written.
    """
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as opened:
        for person in persons:
            for sample, target in zip(person.samples, person.targets, strict=True):
                info = zipfile.ZipInfo(target, _NO_TIME)
                info.create_system, info.external_attr = _UNIX, _ORDINARY_FILE
                opened.writestr(info, read(sample))


def write_records(folder: Path, persons: Sequence[Person], read: Read, size: int) -> None:
    """All crops in InsightFace's layout, and `classes.txt`: line n (from 0) names the person of label n.

    A finished set of crops at `folder` is replaced.

    Raises:
        OutputFailed: it cannot be written.
        InvalidArgument: more crops than RecordIO numbers exactly.
    """

    def contents() -> Iterator[list[bytes]]:
        for person in persons:
            yield [read(sample) for sample in person.samples]

    place: Path | None = None
    try:
        place = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".lineament-"))
        write_recordio(place / "new", contents(), size)
        names = "".join(f"{person.name}\n" for person in persons)
        (place / "new" / CLASSES).write_text(names, "utf-8", newline="\n")
        if folder.exists():
            folder.rename(place / "old")
        (place / "new").rename(folder)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {folder}: {error.strerror or error}; name a place that you may write to"
        ) from error
    finally:
        if place is not None:
            _restore(folder, place)


def check_records_folder(folder: Path, force: bool) -> None:
    """Refuse a place that holds something.

    Raises:
        InvalidArgument: a file, a finished set of crops without `force`, or a folder with other files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidArgument(f"{folder} is a file, and a RecordIO set is a folder: name another")
    there = {entry.name for entry in folder.iterdir()}
    if others := sorted(there - RECORD_FILES):
        raise InvalidArgument(f"{folder} holds other files ({others[0]}): name a new folder")
    if there and not force:
        raise _finished(folder)


def check_zip(path: Path, force: bool) -> None:
    """Refuse a place where something is.

    Raises:
        InvalidArgument: a folder, or a file without `force`.
    """
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder, and a zip is to be written: name another")
    if path.exists() and not force:
        raise _finished(path)


def _finished(path: Path) -> InvalidArgument:
    return InvalidArgument(
        f"{path} is finished already, and nothing was done: train on it, or make it anew with --force"
    )


def _restore(folder: Path, place: Path) -> None:
    """Put the former set back when the new one did not get to its place; clear up."""
    with suppress(OSError):
        if not folder.exists() and (place / "old").exists():
            (place / "old").rename(folder)
    shutil.rmtree(place, ignore_errors=True)
