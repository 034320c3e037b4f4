r"""Layouts in which lists of pairs are published, recognised by their content.

- LFW `pairs.txt` (http://vis-www.cs.umass.edu/lfw/README.txt): a header `folds<TAB>n`, then for each fold n
  lines `person<TAB>number<TAB>number` and n lines `person<TAB>number<TAB>person<TAB>number`. The development
  lists have a header `n` and no folds.
- A table with a header, separated by commas, tabs or semicolons.
- Lines of `a b label` without a header.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lineament.core.errors import DatasetInvalid
from lineament.datasets.tables import (
    LABELS,
    Table,
    delimiter_of,
    label,
    plain_name,
    read_text,
    shown,
    split_rows,
    table_of,
    whole,
)

A: Final = ("a", "path1", "path_a", "file1", "file_a", "image1", "image_a", "img1")
B: Final = ("b", "path2", "path_b", "file2", "file_b", "image2", "image_b", "img2")
MATED: Final = ("mated", "same", "label", "issame", "is_same")
SUBJECT_A: Final = ("subject_a", "subject1", "person1", "person_a", "id1")
SUBJECT_B: Final = ("subject_b", "subject2", "person2", "person_b", "id2")
FOLD: Final = ("fold",)
PROTOCOL: Final = ("protocol",)

_LFW_HEADER: Final = re.compile(r"\d{1,9}(?:\s+\d{1,9})?")
_BINARY: Final = {
    b"PK": "is a zip: read it with read_pairs_archive",
    b"\x80": "is a pickle: read it with read_bin",
}


class Row(NamedTuple):
    """One pair as listed.

    Attributes:
        line: number of its line.
        a, b: names of the pictures.
        mated: the same person.
        fold, protocol, subject_a, subject_b: None when the layout does not have them.
    """

    line: int
    a: str
    b: str
    mated: bool
    fold: int | None = None
    protocol: str | None = None
    subject_a: str | None = None
    subject_b: str | None = None


def lfw_name(person: str, number: int) -> str:
    """Where LFW keeps a picture: `Person/Person_0001.jpg`."""
    return f"{person}/{person}_{number:04d}.jpg"


def read_rows(path: Path) -> list[Row]:
    """Every pair of a list, at least one.

    Raises:
        DatasetInvalid: none of the layouts, or a line that does not fit; the message names it.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(2)
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
    for mark, what in _BINARY.items():
        if head.startswith(mark):
            raise DatasetInvalid(f"{path} {what}")
    text = read_text(path)
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    if _LFW_HEADER.fullmatch(first):
        rows = _lfw(text, path)
    elif _has_header(first):
        rows = _table(table_of(text, path))
    else:
        rows = _bare(text, delimiter_of(first), path)
    if not rows:
        raise DatasetInvalid(f"{path} holds no pair")
    return rows


def _has_header(line: str) -> bool:
    words = {word.strip(' "').lower() for word in line.split(delimiter_of(line))}
    return bool(words & {*A, *B})


def _lfw(text: str, path: Path) -> list[Row]:
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    header = [int(word) for word in lines[0][1].split()]
    folds, each = (1, header[0]) if len(header) == 1 else header
    due = folds * each * 2
    if len(lines) - 1 != due:
        raise DatasetInvalid(
            f"{path}: the header asks for {due} pairs ({folds} × ({each} + {each})) and {len(lines) - 1} "
            "follow"
        )
    rows: list[Row] = []
    for position, (number, line) in enumerate(lines[1:]):
        row = _lfw_row(number, line, path)
        mated = position // each % 2 == 0
        if row.mated != mated:
            raise DatasetInvalid(
                f"{path}, line {number}: a {'mated' if row.mated else 'non-mated'} pair where the header "
                "puts "
                f"a {'mated' if mated else 'non-mated'} one"
            )
        rows.append(row if len(header) == 1 else row._replace(fold=position // (2 * each) + 1))
    return rows


def _lfw_row(number: int, line: str, path: Path) -> Row:
    fields = line.split("\t") if "\t" in line else line.split()
    match [field.strip() for field in fields]:
        case [person, first, second]:
            a = b = person
        case [a, first, b, second]:
            if a == b:
                raise DatasetInvalid(f"{path}, line {number}: four fields, but one person ({a!r})")
        case _:
            raise DatasetInvalid(
                f"{path}, line {number}: {len(fields)} fields where a pair of LFW has 3 (person, number, "
                "number) "
                "or 4 (person, number, person, number)"
            )
    one, other = (whole(text, "picture number", path, number) for text in (first, second))
    return Row(number, lfw_name(a, one), lfw_name(b, other), a == b, subject_a=a, subject_b=b)


def _bare(text: str, delimiter: str | None, path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, fields in split_rows(text, delimiter, path):
        if len(fields) != 3 or not fields[0] or not fields[1]:
            raise DatasetInvalid(
                f"{path}, line {number}: {len(fields)} fields where `a b label` was expected; with a "
                "header, call "
                f"the columns 'a', 'b' and 'same'"
            )
        rows.append(_pair(number, fields[0], fields[1], label(fields[2], path, number), path))
    return rows


def _pair(line: int, a: str, b: str, mated: bool, path: Path) -> Row:
    if not a or not b:
        raise DatasetInvalid(f"{path}, line {line}: a pair without one of its pictures")
    return Row(line, plain_name(a), plain_name(b), mated)


def _table(table: Table) -> list[Row]:
    a, b = table.required(A), table.required(B)
    persons = (table.column(SUBJECT_A), table.column(SUBJECT_B))
    if (persons[0] is None) != (persons[1] is None):
        raise DatasetInvalid(f"{table.path} names the person on one side only: name both or neither")
    mated = table.column(MATED)
    if mated is None and None in persons:
        raise DatasetInvalid(
            f"{table.path} has no column of labels: its header is {shown(table.header)}; call one 'same' "
            "with "
            f"{LABELS}, or name both persons in 'subject_a' and 'subject_b'"
        )
    fold, protocol = table.column(FOLD), table.column(PROTOCOL)
    rows: list[Row] = []
    for line, fields in table.rows:
        one, other = _persons(fields, persons, table.path, line)
        same = one == other if mated is None else label(fields[mated], table.path, line)
        rows.append(
            _pair(line, fields[a], fields[b], same, table.path)._replace(
                fold=None if fold is None else whole(fields[fold], "fold", table.path, line),
                protocol=None if protocol is None else fields[protocol],
                subject_a=one,
                subject_b=other,
            )
        )
    return rows


def _persons(
    fields: Sequence[str], columns: tuple[int | None, int | None], path: Path, line: int
) -> tuple[str | None, str | None]:
    first, second = columns
    if first is None or second is None:
        return None, None
    if not fields[first] or not fields[second]:
        raise DatasetInvalid(f"{path}, line {line}: a person without a name; name both, or drop both columns")
    return fields[first], fields[second]
