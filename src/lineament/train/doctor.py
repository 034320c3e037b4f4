"""What can be known about a recipe's data before time is spent on them.

    recipe → `Check`s of the data (here) and of a short run (`doctor_run.py`)

A check says what was found; where something should be done about it, it says that, too, and is a finding.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from lineament.core.errors import DatasetError
from lineament.datasets.labelled import read_exclusions
from lineament.datasets.pictures import open_pictures
from lineament.datasets.tables import shown
from lineament.train.examples import Examples
from lineament.train.plan import colour_remarks
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data

SAMPLE = 2000
"""Pictures that are looked at by default."""
MANY_SINGLETONS = 0.2
"""Share of persons with one picture from which that is a finding."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the check, one or two words.
        said: what was found, for people.
        todo: what to do about it; empty when nothing is.
        names: pictures or persons that it is about.
    """

    name: str
    said: str
    todo: str = ""
    names: tuple[str, ...] = ()


def look_at_data(
    examples: Examples,
    data: Data,
    *,
    sample: int | None = SAMPLE,
    against: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[Check]:
    """Everything about the data that needs no network.

    Args:
        examples: what the recipe names.
        data: how they are stored.
        sample: pictures to read, whole persons at a time; None for all.
        against: a test set whose persons must not be trained on: a folder, a zip, or a list of names.
        advance: called after each picture.

    Raises:
        DatasetError: `against` cannot be read.
    """
    rows = _sampled(examples, sample)
    checks = [Check("data", "; ".join((examples.describe(), *examples.remarks))), _persons(examples)]
    checks += _pictures(examples, rows, data, advance)
    looks = colour_remarks(examples, data.colour, data.size)
    swapped = "look at some pictures, and set data.colour if red and blue are swapped in them"
    checks.append(Check("colour", looks[0], swapped) if looks else Check("colour", "faces are not blue"))
    if against is not None:
        checks.append(overlap(examples.classes, against))
    return checks


def _sampled(examples: Examples, sample: int | None) -> Int64[np.ndarray, " m"]:
    """All rows, or those of persons spread evenly over the data: duplicates are mostly within persons."""
    if sample is None or sample >= len(examples):
        return np.arange(len(examples), dtype=np.int64)
    order = np.argsort(examples.labels, kind="stable").astype(np.int64)
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    begins = np.concatenate([[0], np.cumsum(counts)])
    wanted = max(1, min(len(counts), round(len(counts) * sample / len(examples))))
    persons = np.linspace(0, len(counts) - 1, wanted).astype(int)
    parts = [order[begins[person] : begins[person + 1]] for person in persons.tolist()]
    return np.concatenate(parts)[:sample]


def _persons(examples: Examples) -> Check:
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    single = int((counts == 1).sum())
    said = (
        f"{len(counts):,} persons, {len(examples):,} pictures; {counts.min():,} to {counts.max():,} of each, "
        f"median {np.median(counts):g}; {single:,} persons with one picture"
    )
    many = single > MANY_SINGLETONS * len(counts)
    todo = "a person with one picture teaches little: set data.fewest=2, or more" if many else ""
    return Check("persons", said, todo)


def _pictures(
    examples: Examples, rows: Int64[np.ndarray, " m"], data: Data, advance: Callable[[], None]
) -> list[Check]:
    broken: dict[str, str] = {}
    seen: dict[bytes, list[int]] = defaultdict(list)
    for row in rows.tolist():
        crop = read_crop(examples, row, data.colour, data.size)
        if isinstance(crop, str):
            broken[examples.name(row)] = crop
        else:
            seen[hashlib.sha256(crop.tobytes()).digest()].append(row)
        advance()
    whole = "all" if len(rows) == len(examples) else f"{len(rows):,} of {len(examples):,}"
    return [_broken(broken, len(rows), whole, data.size), *_duplicates(examples, seen, whole)]


def _broken(broken: dict[str, str], looked: int, whole: str, size: int) -> Check:
    if not broken:
        return Check("pictures", f"{whole} were read, and are crops of {size}×{size}")
    reasons = ", ".join(sorted(set(broken.values())))
    sizes = sum(why == "crop_size" for why in broken.values())
    todo = "leave them out with data.exclude, or repair them; training replaces them by others"
    if 2 * sizes > looked:
        todo = f"they are not aligned crops of {size}×{size}: run `lineament train prepare` on them first"
    said = f"{len(broken):,} cannot be used ({whole} were read): {reasons}; {shown(broken, 3)}"
    return Check("pictures", said, todo, tuple(broken))


def _duplicates(examples: Examples, seen: dict[bytes, list[int]], whole: str) -> list[Check]:
    """Pictures with the same pixels, within a person and of several."""
    several = [rows for rows in seen.values() if len(rows) > 1]
    persons = [len(set(examples.labels[rows].tolist())) for rows in several]
    across = [rows for rows, count in zip(several, persons, strict=True) if count > 1]
    within = [rows for rows, count in zip(several, persons, strict=True) if count == 1]
    extra = [row for rows in within for row in rows[1:]]
    both = [row for rows in across for row in rows]
    checks = [Check("duplicates", f"none among the pictures that were read ({whole})")] if not several else []
    if extra:
        said = f"{len(extra):,} pictures repeat another of the same person; {_some(examples, extra)}"
        todo = "they only weigh more: leave them out with data.exclude"
        checks.append(Check("duplicates", said, todo, _names(examples, extra)))
    if both:
        said = f"{len(both):,} pictures are filed under several persons; {_some(examples, both)}"
        todo = (
            "one of the labels is wrong: look at them, leave the wrong ones out with data.exclude, and look "
            "for more with `lineament train clean`"
        )
        checks.append(Check("labels", said, todo, _names(examples, both)))
    return checks


def _names(examples: Examples, rows: Iterable[int]) -> tuple[str, ...]:
    return tuple(examples.name(row) for row in rows)


def _some(examples: Examples, rows: Sequence[int]) -> str:
    return shown([examples.name(row) for row in rows], 3)


# ---------------------------------------------------------------------------------------------- shared people


def plain(name: str) -> str:
    """Letters only, without accents and case, so that spellings of one name agree."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in letters if letter.isalpha())


def overlap(persons: Sequence[str], against: Path) -> Check:
    """Persons who are in a test set too, by name.

    Args:
        persons: who is trained on.
        against: folder or zip with a folder per person, or a list of names as `data.exclude` takes.

    Raises:
        DatasetError: it cannot be read.
    """
    theirs = {plain(name) for name in _people_of(against)} - {""}
    ours = {name: plain(name) for name in persons}
    if not theirs or not any(ours.values()):
        side = "the data" if theirs else str(against)
        return Check(
            "overlap",
            f"persons of {side} have no names but numbers, which say nothing",
            "find out by other means who is in both; a list of names for --against may be enough",
        )
    both = tuple(name for name, letters in ours.items() if letters in theirs)
    if not both:
        return Check("overlap", f"nobody is in {against} too, by name ({len(theirs):,} names there)")
    return Check(
        "overlap",
        f"{len(both):,} persons are in {against} too: {shown(both, 3)}",
        "a test on people who were trained on measures nothing: list them in a file for data.exclude",
        both,
    )


def _people_of(against: Path) -> set[str]:
    """Names of persons: folders that pictures lie in, or entries of a list."""
    try:
        pictures = open_pictures(against)
    except DatasetError:
        if against.is_dir():
            raise
        return {entry.partition("/")[0] for entry in read_exclusions(against)}
    with closing(pictures):
        return {folder for name in pictures.names for folder in name.split("/")[:-1]}
