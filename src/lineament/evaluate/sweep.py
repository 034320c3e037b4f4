"""Rates of searches at many thresholds and many ranks, for curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from lineament.evaluate.points import rate_interval
from lineament.metrics.identification import Searches

DRAWN = 200
"""Points of a drawn curve, about."""


@dataclass(frozen=True, slots=True)
class RankRate:
    """How often the mate was among the first.

    Attributes:
        rank: how many candidates are looked at.
        hits: mated searches whose mate is among them.
        mated: mated searches, failed ones included.
        rate: hits / mated.
    """

    rank: int
    hits: int
    mated: int
    rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Searches sorted, so that rates at many thresholds are quick.

    Attributes:
        top: (q,) best candidates of non-mated searches, descending.
        mate: (m,) mate similarities, ascending.
        first: (k,) those of them with rank 1, ascending.
        nonmated, mated: searches, failed ones included.
    """

    top: Float[np.ndarray, "q"]
    mate: Float[np.ndarray, "m"]
    first: Float[np.ndarray, "k"]
    nonmated: int
    mated: int

    @classmethod
    def of(cls, searches: Searches) -> "Sweep":
        """From searches in any order."""
        return cls(
            top=np.sort(searches.top_nonmated)[::-1],
            mate=np.sort(searches.mate_similarity),
            first=np.sort(searches.mate_similarity[searches.mate_rank == 1]),
            nonmated=len(searches.top_nonmated) + searches.nonmated_failed,
            mated=len(searches.mate_rank) + searches.mated_failed,
        )

    def rates(self, allowed: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Lowest thresholds with at most `allowed` false positives.

        Returns:
            (n,) threshold (−∞ accepts everything), FPIR, FNIR at any rank, FNIR within rank 1.
        """
        # In the similarities' own precision, in which a threshold just above a bar is another number.
        bars = np.append(self.top, self.top.dtype.type(-np.inf))[np.minimum(allowed, len(self.top))]
        false = np.searchsorted(-self.top, -bars, side="left")
        missed = np.searchsorted(self.mate, bars, side="right") + (self.mated - len(self.mate))
        behind = np.searchsorted(self.first, bars, side="right") + (self.mated - len(self.first))
        threshold = np.where(np.isneginf(bars), bars, np.nextafter(bars, bars.dtype.type(np.inf)))
        return threshold, false / self.nonmated, missed / self.mated, behind / self.mated

    def curve(self) -> dict[str, Any]:
        """Columns threshold, fpir (one error and up, ascending), fnir at any rank, fnir within rank 1."""
        steps = np.unique(np.geomspace(1, max(1, len(self.top)), DRAWN).round().astype(np.int64))
        columns = np.stack(self.rates(steps))
        columns = columns[:, columns[1] > 0]
        keep = np.append(True, np.diff(columns[1]) > 0) if columns.size else np.zeros(0, bool)
        threshold, fpir, fnir, first = columns[:, keep]
        return {"threshold": threshold, "fpir": fpir, "fnir": fnir, "fnir_rank1": first}


def mean_curve(sweeps: Sequence[Sweep]) -> dict[str, Any]:
    """Columns of `Sweep.curve`, averaged over galleries at equal false positive identification rates."""
    lowest = 1.0 / min(sweep.nonmated for sweep in sweeps)
    targets = np.geomspace(lowest, 1.0, DRAWN)
    targets[[0, -1]] = lowest, 1.0
    # A hair above, so that a target of exactly one error is not lost to rounding.
    each = [sweep.rates(np.floor(targets * sweep.nonmated * (1 + 1e-9)).astype(np.int64)) for sweep in sweeps]
    fpir, fnir, first = (np.mean([rates[i] for rates in each], axis=0) for i in (1, 2, 3))
    drawn = fpir > 0
    return {
        "threshold": [None] * int(drawn.sum()),
        "fpir": fpir[drawn],
        "fnir": fnir[drawn],
        "fnir_rank1": first[drawn],
    }


def rank_rate(searches: Searches, rank: int) -> RankRate:
    """Share of mated searches, failed ones included, whose mate is within `rank`."""
    hits = int((searches.mate_rank <= rank).sum())
    mated = len(searches.mate_rank) + searches.mated_failed
    return RankRate(rank, hits, mated, hits / mated)


def cmc_at(searches: Searches, ranks: np.ndarray) -> np.ndarray:
    """(k,) `rank_rate` at many ranks."""
    ordered = np.sort(searches.mate_rank)
    mated = len(ordered) + searches.mated_failed
    return np.searchsorted(ordered, ranks, side="right") / mated


def rank_row(rate: RankRate) -> dict[str, Any]:
    """Fields of `identification.rank_rates`."""
    return {
        "rank": rate.rank,
        "rate": rate.rate,
        "interval": rate_interval(rate.hits, rate.mated),
        "hits": rate.hits,
        "mated": rate.mated,
    }


def drawn_ranks(gallery: int) -> np.ndarray:
    """Ranks of a drawn CMC: every one up to 100, then evenly on a logarithmic axis up to the gallery."""
    spread = np.geomspace(1, gallery, DRAWN).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, min(gallery, 100) + 1), spread]))
