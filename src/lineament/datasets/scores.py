"""Tables of similarities that somebody else computed, to be measured like our own."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from lineament.core.errors import DatasetInvalid
from lineament.datasets.arrow import Columns, read_columns
from lineament.datasets.pair_layouts import FOLD, MATED, SUBJECT_A, SUBJECT_B
from lineament.datasets.pair_layouts import A as NAMES_A
from lineament.datasets.pair_layouts import B as NAMES_B
from lineament.datasets.tables import LABELS, is_mated, shown

SIMILARITY: Final = ("similarity", "score", "cosine")
DISTANCE: Final = ("distance",)
GROUP: Final = ("group",)
GROUP_A: Final = ("group_a", "group1")
GROUP_B: Final = ("group_b", "group2")
QUALITY_A: Final = ("quality_a", "quality1")
QUALITY_B: Final = ("quality_b", "quality2")
LIVE: Final = ("similarity", "score", "live", "liveness")
SPECIES: Final = ("species", "attack", "pai", "instrument")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Comparisons and what some system said of them. Larger similarities are more alike.

    Attributes:
        name: of the file, for people.
        similarity: (n,) float64; NaN where a comparison failed.
        mated: (n,) True for the same person.
        negated: the file holds distances, and `similarity` is minus the distance.
        a, b: (n,) numbers of both samples in `samples`, or None.
        samples: their names.
        subject_a, subject_b: (n,) numbers of both persons in `subjects`, or None.
        subjects: their names.
        group_a, group_b: (n,) numbers of both groups in `groups`, or None.
        groups: their names.
        fold: (n,) fold numbers, or None.
        quality_a, quality_b: (n,) quality of both samples, larger is better, NaN where unknown; or None.
        model, model_digest: from a Parquet file's notes, else empty.
    """

    name: str
    similarity: Float[np.ndarray, "n"]
    mated: Bool[np.ndarray, "n"]
    negated: bool = False
    a: Int[np.ndarray, "n"] | None = None
    b: Int[np.ndarray, "n"] | None = None
    samples: tuple[str, ...] = ()
    subject_a: Int[np.ndarray, "n"] | None = None
    subject_b: Int[np.ndarray, "n"] | None = None
    subjects: tuple[str, ...] = ()
    group_a: Int[np.ndarray, "n"] | None = None
    group_b: Int[np.ndarray, "n"] | None = None
    groups: tuple[str, ...] = ()
    fold: Int[np.ndarray, "n"] | None = None
    quality_a: Float[np.ndarray, "n"] | None = None
    quality_b: Float[np.ndarray, "n"] | None = None
    model: str = ""
    model_digest: str = ""

    def __len__(self) -> int:
        return len(self.mated)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over everything but similarities and qualities: equal for two systems on one list."""
        digest = hashlib.sha256(np.packbits(self.mated).tobytes())
        coded = (self.a, self.b, self.subject_a, self.subject_b, self.group_a, self.group_b, self.fold)
        for column in coded:
            digest.update(b"-" if column is None else column.astype("<i4").tobytes())
        for words in (self.samples, self.subjects, self.groups):
            digest.update("\0".join(words).encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()


def read_scores(path: Path) -> ScoreTable:
    """Read similarities with labels.

    Args:
        path: CSV, TSV or Parquet with a header: `similarity` (or `score`), or `distance`, which is negated;
            and `same` (or `mated`, `label`), or both persons in `subject_a` and `subject_b`. Where wanted:
            `a` and `b`, `group` or `group_a` and `group_b`, `fold`, `quality_a` and `quality_b`. An empty
            similarity is a failed comparison.

    Raises:
        DatasetInvalid: another layout, an unknown label, a similarity that is no number or infinite, or a
            label that contradicts the persons. The message names the line.
    """
    columns = read_columns(path)
    similarity, negated = _similarity(columns)
    subjects = _two(columns, SUBJECT_A, SUBJECT_B, "person")
    mated = _mated(columns, subjects[:2])
    samples = _two(columns, NAMES_A, NAMES_B, "sample")
    groups = _groups(columns)
    fold = columns.find(FOLD)
    qualities = [columns.find(aliases) for aliases in (QUALITY_A, QUALITY_B)]
    quality_a, quality_b = (None if q is None else columns.numbers(q, "quality") for q in qualities)
    notes = columns.metadata()
    return ScoreTable(
        path.stem,
        similarity,
        mated,
        negated,
        *samples,
        *subjects,
        *groups,
        fold=None if fold is None else columns.whole(fold, "fold").astype(np.int32),
        quality_a=quality_a,
        quality_b=quality_b,
        model=notes.get("model", ""),
        model_digest=notes.get("digest", ""),
    )


def read_pad_scores(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read liveness scores with what was shown to the camera.

    Args:
        path: CSV, TSV or Parquet with a header: `score`, larger for a live face, and `species` (or `attack`),
            empty or `bona_fide` for a live face, else the name of the attack instrument.

    Returns:
        (n,) float64 scores and (n,) species as text.

    Raises:
        DatasetInvalid: another layout, or a score that is missing, no number or infinite.
    """
    columns = read_columns(path)
    score = columns.numbers(_required(columns, LIVE), "score")
    missing = np.flatnonzero(np.isnan(score))
    if len(missing):
        raise columns.invalid(
            int(missing[0]), "no score; leave attempts without an answer out and report them as non-responses"
        )
    (codes,), words = columns.words(_required(columns, SPECIES))
    return score, np.array(words, dtype=np.str_)[codes]


_Coded = tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...]]


def _required(columns: Columns, aliases: tuple[str, ...]) -> str:
    found = columns.find(aliases)
    if found is None:
        raise DatasetInvalid(
            f"{columns.path} has no column {aliases[0]!r}: its header is {shown(columns.header)}; call one "
            "of the "
            f"columns {shown(aliases)}"
        )
    return found


def _similarity(columns: Columns) -> tuple[np.ndarray, bool]:
    """(n,) similarities, and whether they are negated distances."""
    distance = columns.find(DISTANCE)
    if distance is None:
        return columns.numbers(_required(columns, SIMILARITY), "similarity"), False
    if columns.find(SIMILARITY) is not None:
        raise DatasetInvalid(
            f"{columns.path} has both a similarity and a distance: keep the one that is meant"
        )
    return -columns.numbers(distance, "distance"), True


def _two(columns: Columns, first: tuple[str, ...], second: tuple[str, ...], what: str) -> _Coded:
    """Two columns of names that share their words; None and no words when the file has neither."""
    one, other = columns.find(first), columns.find(second)
    if one is None and other is None:
        return None, None, ()
    if one is None or other is None:
        raise DatasetInvalid(f"{columns.path} names the {what} on one side only: name both or neither")
    (a, b), words = columns.words(one, other)
    if words[0] == "":
        row = int(np.flatnonzero((a == 0) | (b == 0))[0])
        raise columns.invalid(row, f"a {what} without a name; name both, or drop both columns")
    return a, b, words


def _groups(columns: Columns) -> _Coded:
    both = columns.find(GROUP)
    apart = _two(columns, GROUP_A, GROUP_B, "group")
    if both is None:
        return apart
    if apart[0] is not None:
        raise DatasetInvalid(
            f"{columns.path} has one group for both samples and one for each: keep one of them"
        )
    (codes,), words = columns.words(both)
    if words[0] == "":
        raise columns.invalid(int(np.flatnonzero(codes == 0)[0]), "a comparison without a group")
    return codes, codes, words


def _mated(columns: Columns, persons: tuple[np.ndarray | None, np.ndarray | None]) -> np.ndarray:
    """(n,) bool, from the labels, or from the persons when there are no labels; both must agree."""
    a, b = persons
    name = columns.find(MATED)
    if name is None:
        if a is None or b is None:
            raise DatasetInvalid(
                f"{columns.path} has no column of labels: its header is {shown(columns.header)}; call one "
                "'same', or "
                "name both persons in 'subject_a' and 'subject_b'"
            )
        return a == b
    (codes,), words = columns.words(name)
    known = [is_mated(word) for word in words]
    unknown = [number for number, value in enumerate(known) if value is None]
    if unknown:
        row = int(np.flatnonzero(np.isin(codes, unknown))[0])
        raise columns.invalid(row, f"{words[codes[row]]!r} is no label; use {LABELS}")
    mated = np.array(known, dtype=np.bool_)[codes]
    if a is not None and b is not None and ((a == b) != mated).any():
        row = int(np.flatnonzero((a == b) != mated)[0])
        raise columns.invalid(row, f"labelled {words[codes[row]]!r}, which contradicts the persons")
    return mated
