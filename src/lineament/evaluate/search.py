"""Searching every probe in a gallery, in blocks: what each probe found.

The similarity of a probe to a subject is the largest over that subject's references, and ranks are counted
among subjects, not references. Ties count against the mate (its rank is the worst of the tied ones).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.rows import failures, labels
from lineament.metrics.identification import Searches
from lineament.metrics.operating import least_accepted
from lineament.metrics.scores import FailurePolicy

CELLS = 16_000_000
"""Similarities held at once: 64 MB, and twice that while ranks are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What every probe found in one gallery.

    Attributes:
        probe_subject: (p,) as given.
        mated: (p,) whether the subject was to be in the gallery, also when enrolling it failed.
        failed: (p,) no template of the probe, or none of any of its mates.
        mate_similarity: (p,) to the best reference of the same subject; NaN when not mated or failed.
        mate_rank: (p,) of the subject among all subjects, from 1; 0 when not mated or failed.
        top_similarity: (p,) the largest to a reference of another subject; NaN when failed, −∞ when the
            gallery holds no other subject.
        top_row: (p,) row of that reference in the gallery, or −1.
        subjects, references: in the gallery, with a template.
        subjects_failed, references_failed: without.
        policy: what a failed search counts as: `reject` (mated: a miss, non-mated: no candidate), or nothing.
    """

    probe_subject: Int[np.ndarray, "p"]
    mated: Bool[np.ndarray, "p"]
    failed: Bool[np.ndarray, "p"]
    mate_similarity: Float[np.ndarray, "p"]
    mate_rank: Int[np.ndarray, "p"]
    top_similarity: Float[np.ndarray, "p"]
    top_row: Int[np.ndarray, "p"]
    subjects: int
    references: int
    subjects_failed: int
    references_failed: int
    policy: FailurePolicy

    @property
    def searches(self) -> Searches:
        """The numbers that rates are computed from."""
        mated, other = self.mated & ~self.failed, ~self.mated & ~self.failed
        keeps = self.policy == "reject"
        return Searches(
            mate_similarity=self.mate_similarity[mated],
            mate_rank=self.mate_rank[mated],
            top_nonmated=self.top_similarity[other],
            gallery=self.subjects,
            mated_failed=int((self.mated & self.failed).sum()) if keeps else 0,
            nonmated_failed=int((~self.mated & self.failed).sum()) if keeps else 0,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Gallery:
    """References with a template, those of one subject side by side.

    Attributes:
        vectors: (r, d).
        rows: (r,) where each was in the gallery as given.
        subject: (s,) ascending.
        starts: (s + 1,) first reference of each subject, and the end.
    """

    vectors: np.ndarray
    rows: np.ndarray
    subject: np.ndarray
    starts: np.ndarray

    def best(self, similarity: np.ndarray) -> np.ndarray:
        """(b, r) similarities to references → (b, s) to subjects."""
        if len(self.rows) == len(self.subject):
            return similarity
        return np.maximum.reduceat(similarity, self.starts[:-1], axis=1)

    def row(self, similarity: np.ndarray, column: int) -> int:
        """Row of the reference that gave a probe (r,) its similarity to a subject."""
        start, end = int(self.starts[column]), int(self.starts[column + 1])
        return int(self.rows[start + int(similarity[start:end].argmax())])


def search(
    gallery: np.ndarray,
    gallery_subject: np.ndarray,
    probes: np.ndarray,
    probe_subject: np.ndarray,
    block: int | None = None,
    policy: FailurePolicy = "reject",
) -> Searches:
    """`find`, reduced to what rates are computed from; arguments and errors as there."""
    return find(gallery, gallery_subject, probes, probe_subject, block, policy).searches


def find(
    gallery: np.ndarray,
    gallery_subject: np.ndarray,
    probes: np.ndarray,
    probe_subject: np.ndarray,
    block: int | None = None,
    policy: FailurePolicy = "reject",
) -> Found:
    """Search every probe among all references.

    Args:
        gallery: (g, d) unit templates; NaN rows are references that could not be enrolled. Several
            references of one subject are allowed.
        gallery_subject: (g,) subject numbers.
        probes: (p, d), likewise.
        probe_subject: (p,) subject numbers; a probe whose number is in `gallery_subject` is mated.
        block: probes compared at once; by default as many as make `CELLS` similarities.
        policy: what failed searches count as.

    Raises:
        ScoresInvalid: shapes differ, there is no probe, or no reference has a template.
        TemplateInvalid: a row is not of unit length.
    """
    missing, absent = failures(gallery, "the gallery"), failures(probes, "the probes")
    subject = labels(gallery_subject, len(gallery), "the gallery's subjects")
    wanted = labels(probe_subject, len(probes), "the probes' subjects")
    if missing.all():
        raise ScoresInvalid(
            f"the gallery has no template to search among ({len(missing)} references, all of them failed)"
        )
    if not len(probes):
        raise ScoresInvalid("there is no probe to search for")
    if gallery.shape[1] != probes.shape[1]:
        raise ScoresInvalid(
            f"references have {gallery.shape[1]} numbers and probes {probes.shape[1]}: two models were mixed"
        )
    prepared = _prepare(gallery, subject, ~missing)
    place = np.minimum(np.searchsorted(prepared.subject, wanted), len(prepared.subject) - 1)
    present = prepared.subject[place] == wanted
    mated = np.isin(wanted, subject)
    failed = absent | (mated & ~present)
    similarity, rank, top, row = _search(prepared, probes, np.where(present, place, -1), failed, block)
    return Found(
        probe_subject=wanted,
        mated=mated,
        failed=failed,
        mate_similarity=similarity,
        mate_rank=rank,
        top_similarity=top,
        top_row=row,
        subjects=len(prepared.subject),
        references=len(prepared.rows),
        subjects_failed=len(np.unique(subject)) - len(prepared.subject),
        references_failed=int(missing.sum()),
        policy=policy,
    )


def count_accepted(
    gallery: np.ndarray, gallery_subject: np.ndarray, probes: np.ndarray, found: Found, threshold: float
) -> tuple[int, int]:
    """Single comparisons of non-mated searches at or above a threshold, and how many there were.

    Only probes whose best candidate reaches the threshold are compared again.
    """
    usable = ~failures(gallery, "the gallery")
    references = np.asarray(gallery[usable], dtype=np.float32)
    searched = ~found.mated & ~found.failed
    # In float32, where a threshold just above a similarity must not be rounded down to it.
    least = least_accepted(threshold, references.dtype)
    rows = np.flatnonzero(searched & (found.top_similarity >= least))
    count, step = 0, max(1, CELLS // len(references))
    for start in range(0, len(rows), step):
        part = np.asarray(probes[rows[start : start + step]], dtype=np.float32) @ references.T
        count += int((np.clip(part, -1.0, 1.0) >= least).sum())
    return count, int(searched.sum()) * len(references)


def _prepare(gallery: np.ndarray, subject: np.ndarray, usable: np.ndarray) -> _Gallery:
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(subject[rows], kind="stable")]
    different, starts = np.unique(subject[rows], return_index=True)
    vectors = np.ascontiguousarray(gallery[rows], dtype=np.float32)
    return _Gallery(vectors, rows, different, np.append(starts, len(rows)))


def _search(
    gallery: _Gallery, probes: np.ndarray, mate: np.ndarray, failed: np.ndarray, block: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`mate` (p,): column of the probe's subject, or −1."""
    count = len(probes)
    similarity = np.full(count, np.nan, np.float32)
    rank = np.zeros(count, np.int64)
    top = np.full(count, np.nan, np.float32)
    row = np.full(count, -1, np.int64)
    todo = np.flatnonzero(~failed)
    step = block or max(1, CELLS // len(gallery.rows))
    for start in range(0, len(todo), step):
        chosen = todo[start : start + step]
        values = np.asarray(probes[chosen], dtype=np.float32) @ gallery.vectors.T
        best = gallery.best(values)
        own = np.flatnonzero(mate[chosen] >= 0)
        column = mate[chosen[own]]
        reached = best[own, column]
        if best is values:
            best = values.copy()
        # The mate is taken out, so that what is left are other people, for its rank and for the top one.
        best[own, column] = -np.inf
        similarity[chosen[own]] = reached
        rank[chosen[own]] = 1 + (best[own] >= reached[:, None]).sum(axis=1)
        first = best.argmax(axis=1)
        top[chosen] = best[np.arange(len(chosen)), first]
        for i in np.flatnonzero(np.isfinite(top[chosen])):
            row[chosen[i]] = gallery.row(values[i], int(first[i]))
    # Rounding puts a picture's similarity to itself at 1.0000001; beyond 1 nothing is meant.
    return np.clip(similarity, -1.0, 1.0), rank, np.where(np.isneginf(top), top, np.clip(top, -1.0, 1.0)), row
