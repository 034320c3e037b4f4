"""Similarities of mated and non-mated comparisons: the input of every verification metric.

A small benchmark keeps all its similarities. All pairs of a hundred thousand pictures are five billion: then
only the largest non-mated similarities are kept, which is all that a false match rate needs, with a
histogram of the rest for what is drawn.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from lineament.core.errors import EvidenceInsufficient, ScoresInvalid

FailurePolicy = Literal["reject", "exclude"]
"""What a comparison counts as when a sample gave no template: a rejection (as NIST does), or nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of similarities in equal bins.

    Attributes:
        low, high: ends of the first and the last bin; every similarity lies within.
        mated: (b,) counts.
        nonmated: (b,) counts.
    """

    low: float
    high: float
    mated: Int[np.ndarray, "b"]
    nonmated: Int[np.ndarray, "b"]

    @property
    def width(self) -> float:
        """Of a bin: how far a number read off the histogram may be from the exact one."""
        return (self.high - self.low) / len(self.nonmated)

    @property
    def centres(self) -> np.ndarray:
        """(b,) middle of each bin."""
        return self.low + (np.arange(len(self.nonmated)) + 0.5) * self.width


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Comparisons and what they gave.

    Attributes:
        mated: (m,) similarities of comparisons of the same subject, in any order.
        nonmated: (t,) the largest `t` similarities of comparisons of different subjects, descending.
        nonmated_total: how many there were; t when all are kept.
        mated_subject: (m,) subject number of each mated comparison, for the bootstrap; None when unknown.
        nonmated_subjects: (t, 2) both subjects of each non-mated one; None when unknown.
        samples: (s,) samples of each subject, when every pair of samples was compared: with it the weight of
            all non-mated pairs under a bootstrap draw is known without keeping them. None for listed pairs.
        histogram: of all comparisons, when not all are kept.
        nonmated_moments: (mean, variance with ddof 0) of all non-mated similarities, when not all are kept.
        mated_failed, nonmated_failed: comparisons without a similarity because a sample gave no template,
            which count as rejections. Under the policy `exclude` both are 0.

    Raises:
        ScoresInvalid: not finite, not descending, or of lengths that do not fit.
    """

    mated: Float[np.ndarray, "m"]
    nonmated: Float[np.ndarray, "t"]
    nonmated_total: int
    mated_subject: Int[np.ndarray, "m"] | None = None
    nonmated_subjects: Int[np.ndarray, "t 2"] | None = None
    samples: Int[np.ndarray, "s"] | None = None
    histogram: Histogram | None = None
    nonmated_moments: tuple[float, float] | None = None
    mated_failed: int = 0
    nonmated_failed: int = 0

    def __post_init__(self) -> None:
        for name, values in (("mated", self.mated), ("non-mated", self.nonmated)):
            if not np.isfinite(values).all():
                raise ScoresInvalid(
                    f"{int((~np.isfinite(values)).sum())} {name} similarities are not finite: count failed "
                    "comparisons as failures instead of giving them a similarity"
                )
        if (np.diff(self.nonmated) > 0).any():
            raise ScoresInvalid("non-mated similarities must come in descending order: use Scores.of")
        if self.nonmated_total < len(self.nonmated):
            raise ScoresInvalid(
                f"{len(self.nonmated)} non-mated similarities cannot be the largest of {self.nonmated_total}"
            )

    @classmethod
    def of(
        cls,
        similarity: np.ndarray,
        mated: np.ndarray,
        *,
        subjects: np.ndarray | None = None,
        policy: FailurePolicy = "reject",
    ) -> "Scores":
        """From a list of comparisons.

        Args:
            similarity: (n,) cosine or any score where larger is more alike; NaN where a sample failed.
            mated: (n,) bool.
            subjects: (n, 2) subject numbers of both sides, or None.
            policy: what a failed comparison counts as.

        Raises:
            ScoresInvalid: lengths differ, labels are not boolean, or a similarity is infinite.
        """
        similarity, mated = np.asarray(similarity), np.asarray(mated)
        if similarity.ndim != 1 or mated.shape != similarity.shape:
            raise ScoresInvalid(
                f"{mated.shape} labels for {similarity.shape} similarities: give one label per comparison"
            )
        if mated.dtype != np.bool_:
            raise ScoresInvalid(f"labels are True (same subject) or False, not {mated.dtype}")
        if similarity.dtype.kind != "f":
            similarity = similarity.astype(np.float64)
        failed = np.isnan(similarity)
        same, other = mated & ~failed, ~mated & ~failed
        nonmated = similarity[other]
        mated_subject = nonmated_subjects = None
        if subjects is None:
            # Sorting float32 values takes a thirtieth of the time of finding their order
            # (bench/thresholds.py).
            nonmated.sort()
            nonmated = nonmated[::-1]
        else:
            order = np.argsort(-nonmated, kind="stable")
            nonmated, nonmated_subjects = nonmated[order], subjects[other][order]
            mated_subject = subjects[same, 0]
        keeps = policy == "reject"
        return cls(
            mated=similarity[same],
            nonmated=nonmated,
            nonmated_total=len(nonmated),
            mated_subject=mated_subject,
            nonmated_subjects=nonmated_subjects,
            mated_failed=int((mated & failed).sum()) if keeps else 0,
            nonmated_failed=int((~mated & failed).sum()) if keeps else 0,
        )

    @property
    def complete(self) -> bool:
        """Whether every non-mated similarity is kept."""
        return len(self.nonmated) == self.nonmated_total

    @property
    def mated_count(self) -> int:
        """Mated comparisons, failed ones included."""
        return len(self.mated) + self.mated_failed

    @property
    def nonmated_count(self) -> int:
        """Non-mated comparisons, failed ones included."""
        return self.nonmated_total + self.nonmated_failed

    def require_both(self) -> None:
        """Refuse data of one kind only.

        Raises:
            ScoresInvalid: there is no mated or no non-mated comparison.
        """
        if not self.mated_count or not self.nonmated_count:
            missing = "mated" if not self.mated_count else "non-mated"
            raise ScoresInvalid(f"there is no {missing} comparison: both kinds are needed")

    def require_largest(self, count: int) -> None:
        """Refuse to look further down than what was kept.

        Raises:
            EvidenceInsufficient: fewer than `count` of the largest non-mated similarities are here.
        """
        if count > len(self.nonmated) and not self.complete:
            raise EvidenceInsufficient(
                f"only the {len(self.nonmated)} largest of {self.nonmated_total} non-mated similarities were "
                f"kept and {count} are needed: repeat the evaluation keeping a larger false match rate"
            )
