"""Pictures of known people, one folder per person: the data of an all-pairs evaluation."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.datasets.port import Pictures
from lineament.datasets.tables import plain_name, read_named, shown

NAMES: Final = ("name", "sample", "subject", "path", "file", "image", "person")
GROUPS: Final = ("group", "demographic")
REASONS: Final = ("reason", "why")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures and who is on each.

    Attributes:
        samples: names of the pictures, n.
        subject: (n,) number of each one's person.
        subjects: names of the persons, by number.
        group: (n,) number of each one's group, or None.
        groups: names of the groups, by number, or None.
        name: of the set, for people.
        excluded: pictures that were left out because a list said so.
        unmatched: entries of that list that named nothing in the set.
    """

    samples: tuple[str, ...]
    subject: Int[np.ndarray, "n"]
    subjects: tuple[str, ...]
    group: Int[np.ndarray, "n"] | None
    groups: tuple[str, ...] | None
    name: str
    excluded: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over the names of pictures, persons and groups; not over the set's own name."""
        digest = hashlib.sha256()
        for number, sample in enumerate(self.samples):
            group = "" if self.group is None or self.groups is None else self.groups[self.group[number]]
            row = "\0".join((sample, self.subjects[self.subject[number]], group))
            digest.update(row.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()


def read_labelled(
    pictures: Pictures,
    groups_file: Path | None = None,
    exclude: Iterable[str] = (),
    *,
    up: int = 1,
    name: str | None = None,
) -> Labelled:
    """Who is on each picture, by the folder it lies in: `people/Ada_Lovelace/1.jpg` is of `Ada_Lovelace`.

    Args:
        pictures: the set.
        groups_file: see `read_groups`; every picture that is kept must then have a group.
        exclude: names of pictures or persons to leave out, such as the keys of `read_exclusions`.
        up: how far above a picture the folder named after the person is: 1 for `NAME/1.jpg`, 2 for
            `NAME/frontal/1.jpg`.
        name: of the set; None for what the pictures say.

    Raises:
        DatasetInvalid: pictures outside of folders, one person in two folders, fewer than two persons, or
            pictures without a group.
        InvalidArgument: `up` is less than 1.
    """
    if up < 1:
        raise InvalidArgument(f"a person's folder is 1 or more steps above the picture, not {up}")
    folders = {sample: _folder(sample, up, pictures) for sample in pictures.names}
    persons = _persons(folders.values(), pictures)
    listed = {plain_name(entry) for entry in exclude}
    out = {s for s, folder in folders.items() if listed & {s, folder, persons[folder]}}
    samples = tuple(sample for sample in folders if sample not in out)
    who = [persons[folders[sample]] for sample in samples]
    subjects = tuple(sorted(set(who)))
    if len(subjects) < 2:
        raise DatasetInvalid(
            f"{pictures.describe()}: pictures of {len(subjects)} persons, and at least 2 are needed; put the "
            "pictures of each person into a folder of their own"
        )
    number = {person: n for n, person in enumerate(subjects)}
    known = set(folders) | set(folders.values()) | set(persons.values())
    group, groups = _groups(samples, who, groups_file)
    return Labelled(
        samples=samples,
        subject=np.array([number[person] for person in who], dtype=np.int32),
        subjects=subjects,
        group=group,
        groups=groups,
        name=pictures.describe() if name is None else name,
        excluded=tuple(sorted(out)),
        unmatched=tuple(sorted(listed - known)),
    )


def _folder(sample: str, up: int, pictures: Pictures) -> str:
    parts = sample.split("/")
    if len(parts) <= up:
        steps = "in a folder" if up == 1 else f"{up} folders deep"
        raise DatasetInvalid(
            f"{pictures.describe()}: {sample!r} does not lie {steps}, so that nothing says who is on it; "
            "put the "
            "pictures of each person into a folder with the person's name (people/NAME/1.jpg), or use a "
            "list of "
            "pairs"
        )
    return "/".join(parts[:-up])


def _persons(folders: Iterable[str], pictures: Pictures) -> dict[str, str]:
    """The person of each folder: its own name, which no other folder may have."""
    persons: dict[str, str] = {}
    first: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        person = folder.rpartition("/")[2]
        other = first.setdefault(person, folder)
        if other != folder:
            raise DatasetInvalid(
                f"{pictures.describe()}: the folders {other!r} and {folder!r} have one name, and it is "
                "unclear "
                "whether they are of one person; rename one, evaluate one part only, or say that persons are "
                "named by a folder further up"
            )
        persons[folder] = person
    return persons


def _groups(
    samples: Sequence[str], who: Sequence[str], groups_file: Path | None
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    if groups_file is None:
        return None, None
    known = read_groups(groups_file)
    found = [known.get(sample, known.get(person)) for sample, person in zip(samples, who, strict=True)]
    lacking = [sample for sample, group in zip(samples, found, strict=True) if group is None]
    if lacking:
        raise DatasetInvalid(
            f"{groups_file} has no group for {len(lacking)} of {len(samples)} pictures "
            f"({shown(lacking, 3)}); add "
            "them or their persons, or leave them out by name"
        )
    names = tuple(sorted({group for group in found if group is not None}))
    number: Mapping[str | None, int] = {group: n for n, group in enumerate(names)}
    return np.array([number[group] for group in found], dtype=np.int32), names


def read_exclusions(path: Path) -> dict[str, str]:
    """Names to leave out, with the reason of each.

    Args:
        path: one name per line, or a table with a header: a column `name` and, where wanted, `reason`.

    Returns:
        Reasons by name; where none is given, that the file lists it.

    Raises:
        DatasetInvalid: not such a file, or a name listed twice.
    """
    table, key = read_named(path, NAMES)
    reason = table.column(REASONS)
    why = f"listed in {path.name}"
    return {
        plain_name(fields[key]): why if reason is None else fields[reason] or why for _, fields in table.rows
    }


def read_groups(path: Path) -> dict[str, str]:
    """The group of each person or picture.

    Args:
        path: a table with a header: a column `subject` (or `name`, `sample`, `path`) and a column `group`. An
            entry for a picture goes before one for its person.

    Raises:
        DatasetInvalid: not such a table, a name listed twice, or an entry without a group.
    """
    table, key = read_named(path, NAMES)
    group = table.required(GROUPS)
    for line, fields in table.rows:
        if not fields[group]:
            raise DatasetInvalid(f"{path}, line {line}: {fields[key]!r} has no group")
    return {plain_name(fields[key]): fields[group] for _, fields in table.rows}
