"""Photographs of many people under one folder, and whose each is.

FOLDER/SUBJECT/… belongs to SUBJECT, however deep; FOLDER/NAME.jpg belongs to NAME; or a list says it, file by
file.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lineament.core.errors import DatasetInvalid, ImageError, ImageNotFound
from lineament.datasets.people_tables import same_name, subject_of
from lineament.vision.containers import PICTURE_SUFFIXES, sniff


@dataclass(frozen=True, slots=True)
class Placed:
    """A photograph.

    Attributes:
        path: of the file.
        name: the same under the folder, with `/`.
        subject: whose.
    """

    path: Path
    name: str
    subject: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """What could not be looked at.

    Attributes:
        name: under the folder.
        subject: whose it would be.
        reason: a stable name.
        message: a sentence.
    """

    name: str
    subject: str
    reason: str
    message: str


@dataclass(slots=True)
class PeopleFolder:
    """What lies under a folder.

    Attributes:
        pictures: photographs, by suffix or by content; those of one folder side by side.
        failed: what could not be looked at.
        others: number of other files.
        empty: folders of subjects without a photograph.
    """

    pictures: list[Placed] = field(default_factory=list[Placed])
    failed: list[Unusable] = field(default_factory=list[Unusable])
    others: int = 0
    empty: list[str] = field(default_factory=list[str])


def look(folder: Path) -> PeopleFolder:
    """All photographs under a folder; names that begin with a dot are passed over, links to folders named.

    Raises:
        DatasetInvalid: there is no such folder, or it cannot be opened.
    """
    _require_folder(folder)
    found = PeopleFolder()
    people: dict[str, bool] = {}

    def note(path: str | Path, error: OSError) -> None:
        found.failed.append(_unreachable(folder, Path(path), error))

    for place, folders, names in os.walk(folder, onerror=lambda e: note(e.filename, e)):
        visible = sorted(f for f in folders if not f.startswith("."))
        links = [f for f in visible if Path(place, f).is_symlink()]
        found.failed += [_linked(folder, Path(place, f)) for f in links]
        folders[:] = [f for f in visible if f not in links]
        if Path(place) == folder:
            people = dict.fromkeys(folders, False)
        for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
            try:
                regular = stat.S_ISREG(path.stat().st_mode)
            except OSError as error:
                note(path, error)
                continue
            if regular and (path.suffix.lower() in PICTURE_SUFFIXES or _looks_like_a_picture(path)):
                name = _name(folder, path)
                found.pictures.append(Placed(path, name, subject_of(name)))
                people[name.split("/")[0]] = True
            elif regular:
                found.others += 1
    found.empty = sorted(same_name(name) for name, filled in people.items() if not filled)
    return found


def listed(folder: Path, files: Mapping[str, str]) -> PeopleFolder:
    """The photographs that a list names, those of one subject side by side.

    Args:
        folder: where they lie; a list cannot reach out of it.
        files: subject by file, as `read_people` has them.

    Raises:
        DatasetInvalid: there is no such folder.
    """
    _require_folder(folder)
    found = PeopleFolder()
    places = {name: i for i, name in enumerate(dict.fromkeys(files.values()))}
    for file, subject in sorted(files.items(), key=lambda item: places[item[1]]):
        name = os.path.normpath(file)
        if Path(name).is_absolute() or Path(name).parts[:1] == ("..",):
            message = f"{file} lies outside {folder}: a list names files under the folder"
            found.failed.append(Unusable(file, subject, ImageNotFound.reason, message))
            continue
        path = folder / name
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            message = f"{file} cannot be opened: {getattr(error, 'strerror', None) or error}"
            found.failed.append(Unusable(file, subject, ImageNotFound.reason, message))
            continue
        if stat.S_ISREG(mode):
            found.pictures.append(Placed(path, file, subject))
        else:
            found.failed.append(Unusable(file, subject, ImageError.reason, f"{file} is not a file"))
    return found


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DatasetInvalid(f"{folder} is not a folder: give the one that holds the photographs")
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise DatasetInvalid(f"cannot open {folder}: {error.strerror or error}") from error


def _name(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _unreachable(folder: Path, path: Path, error: OSError) -> Unusable:
    name = _name(folder, path)
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        reason, why = ImageNotFound.reason, "is a link to a file that is not there"
    else:
        reason, why = ImageError.reason, f"cannot be looked at: {error.strerror or error}"
    return Unusable(name, subject_of(name), reason, f"{name} {why}")


def _linked(folder: Path, path: Path) -> Unusable:
    name = _name(folder, path)
    message = f"{name} is a link to a folder, which is not followed: import that folder, or copy it"
    return Unusable(name, same_name(name.split("/")[0]), ImageError.reason, message)


def _looks_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return sniff(stream.read(64)) is not None
    except OSError:
        return False
