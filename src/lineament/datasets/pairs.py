"""Lists of pairs to compare: who with whom, and whether they are the same person."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from lineament.core.errors import DatasetInvalid
from lineament.datasets.matching import resolve_names
from lineament.datasets.pair_layouts import Row, lfw_name, read_rows
from lineament.datasets.port import Pictures
from lineament.datasets.tables import shown

__all__ = ["Pairs", "lfw_name", "read_pairs", "resolve"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of pictures, in the order of their list.

    Attributes:
        name: of the list, for people.
        a, b: names of the first and the second picture of each pair, n each.
        mated: (n,) True for the same person.
        fold: (n,) number of the fold of each pair, or None.
        subject_a, subject_b: who is on each, or None when the list does not say.

    Raises:
        DatasetInvalid: no pair, or columns of different lengths.
    """

    name: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    mated: Bool[np.ndarray, "n"]
    fold: Int[np.ndarray, "n"] | None = None
    subject_a: tuple[str, ...] | None = None
    subject_b: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        columns = (self.a, self.b, self.fold, self.subject_a, self.subject_b)
        if not len(self.mated):
            raise DatasetInvalid(f"{self.name} holds no pair")
        if any(column is not None and len(column) != len(self.mated) for column in columns):
            raise DatasetInvalid(f"{self.name} has columns of different lengths: give one entry per pair")
        if (self.subject_a is None) != (self.subject_b is None):
            raise DatasetInvalid(f"{self.name} names the person on one side only: name both or neither")

    def __len__(self) -> int:
        return len(self.mated)

    @cached_property
    def samples(self) -> tuple[str, ...]:
        """Every picture once, sorted."""
        return tuple(sorted({*self.a, *self.b}))

    @cached_property
    def folds_identity_disjoint(self) -> bool | None:
        """Whether no person is in two folds; None without folds or when persons are unknown."""
        if self.fold is None or self.subject_a is None or self.subject_b is None:
            return None
        seen: dict[str, int] = {}
        for fold, *both in zip(self.fold.tolist(), self.subject_a, self.subject_b, strict=True):
            if any(seen.setdefault(person, fold) != fold for person in both):
                return False
        return True

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over all rows in order: names, labels, folds and persons; not over the list's name."""
        digest = hashlib.sha256()
        folds = [""] * len(self) if self.fold is None else self.fold.tolist()
        persons = [("", "")] * len(self)
        if self.subject_a is not None and self.subject_b is not None:
            persons = list(zip(self.subject_a, self.subject_b, strict=True))
        for a, b, mated, fold, (p, q) in zip(self.a, self.b, self.mated, folds, persons, strict=True):
            row = "\0".join((a, b, str(int(mated)), str(fold), p, q))
            digest.update(row.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()

    def take(self, rows: np.ndarray) -> "Pairs":
        """Some of the pairs, in the order asked for.

        Args:
            rows: (k,) row numbers, or (n,) booleans.
        """
        chosen = np.arange(len(self))[np.asarray(rows)]
        persons = (self.subject_a, self.subject_b)
        return Pairs(
            self.name,
            _take(self.a, chosen),
            _take(self.b, chosen),
            self.mated[chosen],
            None if self.fold is None else self.fold[chosen],
            *(None if column is None else _take(column, chosen) for column in persons),
        )


def _take(column: tuple[str, ...], rows: np.ndarray) -> tuple[str, ...]:
    return tuple(column[i] for i in rows.tolist())


def read_pairs(path: Path, protocol: str | None = None, *, allow_duplicates: bool = False) -> Pairs:
    """Read a list of pairs, in any of the layouts described in `pair_layouts.py`.

    Args:
        path: LFW's `pairs.txt`, a CSV or TSV file with a header, or lines of `a b 0/1`.
        protocol: which of several lists in one file is meant.
        allow_duplicates: keep pairs that are listed twice, in either order, as long as their labels agree.

    Raises:
        DatasetInvalid: another layout, an unknown label, a pair listed twice or with itself; the message
            names the line.
    """
    rows = _of_protocol(read_rows(path), protocol, path)
    _check(rows, path, allow_duplicates)
    subjects = None not in (rows[0].subject_a, rows[0].subject_b)
    return Pairs(
        name=path.stem if protocol is None else f"{path.stem} {protocol}",
        a=tuple(row.a for row in rows),
        b=tuple(row.b for row in rows),
        mated=np.array([row.mated for row in rows], dtype=np.bool_),
        fold=None if rows[0].fold is None else np.array([row.fold for row in rows], dtype=np.int32),
        subject_a=tuple(row.subject_a or "" for row in rows) if subjects else None,
        subject_b=tuple(row.subject_b or "" for row in rows) if subjects else None,
    )


def resolve(pairs: Pairs, pictures: Pictures) -> dict[str, str]:
    """Which picture each name of the list means; names without a picture are left out.

    The same name is taken first. Otherwise suffixes may differ (`.jpg` for `.png`, or none), and one side may
    have folders in front that the other lacks, as when a set was unpacked one folder deeper.

    Raises:
        DatasetInvalid: a name could mean two pictures, or two names mean one; both are named.
    """
    return resolve_names(pairs.samples, pictures.names)


def _of_protocol(rows: Sequence[Row], protocol: str | None, path: Path) -> list[Row]:
    known = dict.fromkeys(row.protocol for row in rows)
    names = shown(name for name in known if name is not None)
    if protocol is None:
        if len(known) > 1:
            raise DatasetInvalid(f"{path} holds several protocols: choose one of {names}")
        return list(rows)
    if None in known:
        raise DatasetInvalid(f"{path} has no column 'protocol': leave the choice of {protocol!r} out")
    chosen = [row for row in rows if row.protocol == protocol]
    if not chosen:
        raise DatasetInvalid(f"{path} holds no protocol {protocol!r}: choose one of {names}")
    return chosen


def _check(rows: Sequence[Row], path: Path, allow_duplicates: bool) -> None:
    """Each pair once, with itself never, and labels that do not contradict each other or the persons."""
    first: dict[tuple[str, str], Row] = {}
    repeated: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        where = f"{path}, line {row.line}"
        if row.a == row.b:
            raise DatasetInvalid(f"{where}: {row.a!r} is compared with itself")
        if row.subject_a is not None and (row.subject_a == row.subject_b) != row.mated:
            raise DatasetInvalid(
                f"{where}: labelled {'mated' if row.mated else 'non-mated'}, but the persons are "
                f"{row.subject_a!r} and {row.subject_b!r}"
            )
        key = (min(row.a, row.b), max(row.a, row.b))
        before = first.setdefault(key, row)
        if before.mated != row.mated:
            raise DatasetInvalid(f"{where}: the pair of line {before.line} with the other label")
        if before is not row:
            repeated[key].append(row)
    if repeated and not allow_duplicates:
        again = next(iter(repeated.values()))[0]
        before = first[min(again.a, again.b), max(again.a, again.b)]
        raise DatasetInvalid(
            f"{path}, line {again.line}: the pair of line {before.line} again ({again.a!r} and "
            f"{again.b!r}), and "
            f"{len(repeated)} pairs in all are listed more than once; remove them, or allow duplicates if "
            "the "
            "protocol is published so"
        )
