"""Pairs of one person, each searched among very many strangers: ranks and the largest similarities.

Blocked, so that a million distractors may stay on disk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.largest import Largest
from lineament.evaluate.rows import failures
from lineament.metrics.operating import allowed
from lineament.metrics.scores import FailurePolicy, Scores

BLOCK = 65_536
"""Distractors compared at once."""
CELLS = 16_000_000
"""Similarities held at once: 64 MB."""
Progress = Callable[[int, int], None]
"""Called with (distractors done, distractors)."""


@dataclass(frozen=True, slots=True, eq=False)
class Among:
    """Pairs of one person among distractors.

    Attributes:
        pairs: (r, 2) probe and its mate, rows as given, in both orders; pairs with a failed template are last
            and have no similarity.
        similarity: (k,) of the first k pairs.
        rank: (k,) of the mate among it and the distractors, from 1; ties count against it.
        scores: every unordered pair of one person, and the largest of probe × distractor.
        strangers: (t, 2) probe and distractor of each non-mated similarity kept.
        subject: (r,) person of each pair.
        distractors: used in searches.
        distractors_failed, probes_failed: without a template.
        excluded_probes, excluded_distractors: left out on purpose.
    """

    pairs: Int[np.ndarray, "r 2"]
    similarity: Float[np.ndarray, "k"]
    rank: Int[np.ndarray, "k"]
    scores: Scores
    strangers: Int[np.ndarray, "t 2"]
    subject: Int[np.ndarray, "r"]
    distractors: int
    distractors_failed: int
    probes_failed: int
    excluded_probes: int
    excluded_distractors: int

    def rate(self, rank: int) -> float:
        """Share of ordered pairs whose mate is within `rank`; pairs with a failed template are misses."""
        return int((self.rank <= rank).sum()) / len(self.pairs)


def compare(
    probes: np.ndarray,
    subject: np.ndarray,
    distractors: np.ndarray,
    use_probe: np.ndarray,
    use_distractor: np.ndarray,
    keep: float,
    policy: FailurePolicy,
    progress: Progress | None,
) -> Among:
    """Compare chosen probes with each other and with chosen distractors; blocked, whatever their number.

    Args:
        probes, subject, distractors: as for `among_distractors`.
        use_probe: (p,) bool.
        use_distractor: (n,) bool.
        keep: largest false match rate whose threshold must be exact.
        policy: what pairs with a failed template count as.
        progress: told how far it is.

    Raises:
        ScoresInvalid: nothing is left to compare.
        TemplateInvalid: a row is not of unit length.
    """
    if probes.ndim != 2 or distractors.ndim != 2 or probes.shape[1] != distractors.shape[1]:
        raise ScoresInvalid(f"probes {probes.shape} and distractors {distractors.shape} are of two models")
    lost_probe = failures(probes, "the probes")
    lost = failures(distractors, "the distractors")
    rows = np.flatnonzero(use_probe & ~lost_probe)
    columns = np.flatnonzero(use_distractor & ~lost)
    chosen = np.flatnonzero(use_probe)
    if not len(columns):
        raise ScoresInvalid("there is no distractor with a template: searches among nobody show nothing")
    mates = _Mates(np.asarray(probes[rows], np.float32), subject[rows])
    if not len(mates.pairs):
        raise ScoresInvalid("no person has two usable pictures: there is no pair to search for")
    keeps = policy == "reject"
    failed_probes, failed_distractors = (
        int((use_probe & lost_probe).sum()),
        int((use_distractor & lost).sum()),
    )
    every = len(chosen) * (len(columns) + failed_distractors)
    kept = len(rows) * len(columns)
    total = every if keeps else kept
    largest = Largest((allowed(keep, total) if keep else 0) + 1, kept)
    rank = 1 + mates.count(distractors, columns, largest, progress)
    values, keys = largest.descending()
    missing = _missing_pairs(chosen, subject, lost_probe) if keeps else np.zeros((0, 2), np.int64)
    pairs = np.concatenate([rows[mates.pairs], missing])
    once = mates.pairs[:, 0] < mates.pairs[:, 1]
    return Among(
        pairs=pairs,
        similarity=mates.similarity,
        rank=rank,
        scores=Scores(
            mated=mates.similarity[once],
            nonmated=np.minimum(values, np.float32(1.0)),
            nonmated_total=kept,
            mated_failed=len(missing) // 2,
            nonmated_failed=every - kept if keeps else 0,
        ),
        strangers=np.stack([rows[keys // len(columns)], columns[keys % len(columns)]], axis=1),
        subject=subject[pairs[:, 0]],
        distractors=len(columns),
        distractors_failed=failed_distractors,
        probes_failed=failed_probes,
        excluded_probes=int((~use_probe).sum()),
        excluded_distractors=int((~use_distractor).sum()),
    )


class _Mates:
    """Usable probes, and the ordered pairs of one person among them, by probe and then by similarity."""

    def __init__(self, vectors: np.ndarray, subject: np.ndarray) -> None:
        self.vectors = vectors
        firsts: list[np.ndarray] = []
        values: list[np.ndarray] = []
        self.ends = np.zeros(len(vectors) + 1, np.int64)
        # Blocks of a matrix product, as for distractors, so that equal pictures give equal similarities.
        step, block = max(1, CELLS // max(1, len(vectors))), np.zeros((0, 0), np.float32)
        for i, mates in enumerate(_of_same(subject)):
            if i % step == 0:
                block = np.clip(vectors[i : i + step] @ vectors.T, -1.0, 1.0)
            similarity = block[i % step, mates]
            order = np.argsort(similarity, kind="stable")
            firsts.append(np.stack([np.full(len(mates), i), mates[order]], axis=1))
            values.append(similarity[order])
            self.ends[i + 1] = self.ends[i] + len(mates)
        self.pairs = np.concatenate(firsts) if firsts else np.zeros((0, 2), np.int64)
        self.similarity = np.concatenate(values) if values else np.zeros(0, np.float32)

    def count(
        self, distractors: np.ndarray, columns: np.ndarray, largest: Largest, progress: Progress | None
    ) -> np.ndarray:
        """Distractors at or above each pair's similarity, (pairs,); all similarities go to `largest`."""
        above = np.zeros(len(self.pairs), np.int64)
        step = max(1, CELLS // BLOCK)
        for start in range(0, len(columns), BLOCK):
            chosen = columns[start : start + BLOCK]
            strangers = np.asarray(distractors[chosen], np.float32).T
            for top in range(0, len(self.vectors), step):
                values = self.vectors[top : top + step] @ strangers
                self._offer(values, top, start, len(columns), largest)
                for i, row in enumerate(values, start=top):
                    self._add(row, slice(int(self.ends[i]), int(self.ends[i + 1])), above)
            if progress is not None:
                progress(min(start + BLOCK, len(columns)), len(columns))
        return above

    def _add(self, row: np.ndarray, mine: slice, above: np.ndarray) -> None:
        mates = self.similarity[mine]
        if not len(mates):
            return
        high = row[row >= mates[0]]
        # A distractor that reaches the i lowest mates is before those i.
        reached = np.bincount(np.searchsorted(mates, high, side="right"), minlength=len(mates) + 1)
        above[mine] += np.cumsum(reached[:0:-1])[::-1]

    def _offer(self, values: np.ndarray, top: int, start: int, width: int, largest: Largest) -> None:
        i, j = np.nonzero(values >= largest.floor)
        largest.offer(values[i, j], (top + i) * width + (start + j))


def _of_same(subject: np.ndarray) -> Iterator[np.ndarray]:
    """For each row, the other rows of the same person."""
    order = np.argsort(subject, kind="stable")
    ordered = subject[order]
    first = np.searchsorted(ordered, subject, side="left")
    last = np.searchsorted(ordered, subject, side="right")
    for i in range(len(subject)):
        rows = order[first[i] : last[i]]
        yield rows[rows != i]


def _missing_pairs(chosen: np.ndarray, subject: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Ordered pairs of one person of which a side has no template."""
    pairs: list[np.ndarray] = []
    for i, mates in zip(chosen, _of_same(subject[chosen]), strict=True):
        others = chosen[mates]
        others = others if failed[i] else others[failed[others]]
        pairs.append(np.stack([np.full(len(others), i), others], axis=1))
    return np.concatenate(pairs).astype(np.int64)
