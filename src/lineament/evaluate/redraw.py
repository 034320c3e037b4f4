"""Intervals of open-set rates: the people who were searched for are drawn again and again.

Searches of one person are not independent, so a draw takes all of a person's probes or none. The gallery is
kept: what is asked is how the rates would vary with other people at the door, not with another watchlist.
The threshold is chosen anew in each draw, by the same floor rule.
"""

from collections.abc import Sequence

import numpy as np

from lineament.core.errors import EvidenceInsufficient
from lineament.evaluate.search import Found
from lineament.metrics.bootstrap import draws
from lineament.metrics.intervals import Interval
from lineament.metrics.operating import allowed

Asked = tuple[float, int | None]
"""A false positive identification rate and the largest rank that counts, None for any."""


def redraw(
    galleries: Sequence[Found], asked: Sequence[Asked], replicates: int, seed: int
) -> dict[Asked, Interval]:
    """95 % percentile interval of FNIR at each operating point.

    Args:
        galleries: searches of the same people in one or more galleries; the rate is the mean over them.
        asked: operating points.
        replicates: draws.
        seed: of the generator.

    Raises:
        EvidenceInsufficient: no draw had both mated and non-mated searches in every gallery.
    """
    people = np.unique(np.concatenate([found.probe_subject for found in galleries]))
    sorted_ = [Sorted(found, people) for found in galleries]
    rates = np.empty((replicates, len(asked)))
    for i, weight in enumerate(draws(len(people), replicates, seed)):
        rates[i] = np.mean([one.fnir(weight, asked) for one in sorted_], axis=0)
    rates = rates[~np.isnan(rates).any(axis=1)]
    if not len(rates):
        raise EvidenceInsufficient(
            f"too few people for a bootstrap: none of {replicates} draws had mated and non-mated searches in "
            "every gallery; ask for no replicates, or search for more people"
        )
    ends = np.quantile(rates, (0.025, 0.975), axis=0)
    method = f"bootstrap over people searched for, {replicates} draws, seed {seed}"
    return {
        point: Interval(float(ends[0, j]), float(ends[1, j]), method, 0.95) for j, point in enumerate(asked)
    }


class Sorted:
    """One gallery's searches, ready to be weighted."""

    def __init__(self, found: Found, people: np.ndarray) -> None:
        keeps = found.policy == "reject"
        who = np.searchsorted(people, found.probe_subject)
        mated, other = found.mated & ~found.failed, np.flatnonzero(~found.mated & ~found.failed)
        other = other[np.argsort(-found.top_similarity[other], kind="stable")]
        self.top, self.top_who = found.top_similarity[other], who[other]
        self.mate, self.rank, self.mate_who = (
            found.mate_similarity[mated],
            found.mate_rank[mated],
            who[mated],
        )
        self.lost_mated = who[found.mated & found.failed & keeps]
        self.lost_other = who[~found.mated & found.failed & keeps]

    def fnir(self, weight: np.ndarray, asked: Sequence[Asked]) -> list[float]:
        """At each point; NaN when the draw has no mated or no non-mated search."""
        mine = weight[self.mate_who]
        reached = np.cumsum(weight[self.top_who])
        mated = int(mine.sum() + weight[self.lost_mated].sum())
        other = int(weight[self.top_who].sum() + weight[self.lost_other].sum())
        if not mated or not other:
            return [float("nan")] * len(asked)
        rates: list[float] = []
        for target, rank in asked:
            # The largest candidate that is one too many is the bar; without one, everything is accepted.
            bar = int(np.searchsorted(reached, allowed(target, other), side="right"))
            hit = self.mate > self.top[bar] if bar < len(self.top) else np.ones(len(mine), bool)
            if rank is not None:
                hit &= self.rank <= rank
            rates.append(1.0 - float(mine[hit].sum()) / mated)
        return rates
