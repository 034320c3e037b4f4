"""Do errors fall on some people more than on others? One threshold for everybody, and each group's rates.

The threshold is given, or chosen once: at a false match rate over all comparisons, or over those within one
reference group. A threshold of its own for each group would hide what is asked here and is not offered.

FMR of a group is that of non-mated comparisons within it, because these are the hard ones (NIST IR 8280):
over all pairs it would be understated. Comparisons across groups are in the matrix beside. A mated pair whose
two pictures are in different groups, as with age, is counted, and is in no group's FNMR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.evaluate.allpairs import AllPairs
from lineament.evaluate.group_counts import GroupCounts, count_cells, count_groups, sides_of
from lineament.evaluate.rows import flags
from lineament.metrics.bootstrap import draws
from lineament.metrics.groups import (
    GroupErrors,
    fairness_discrepancy_rate,
    garbe,
    gini,
    inequity_rate,
    max_over_geomean,
    max_over_mean,
    max_over_min,
)
from lineament.metrics.intervals import Interval
from lineament.metrics.operating import OperatingPoint, at_fmr, least_accepted
from lineament.metrics.scores import FailurePolicy, Scores

SEED = 20251125
_WILSON = "Wilson 95 %, comparisons counted as independent"


class Bootstrap(NamedTuple):
    """Intervals over subjects at the fixed threshold.

    Attributes:
        fmr, fnmr: by group; None where a group has nothing to draw from.
        method: what was done.
    """

    fmr: tuple[Interval | None, ...]
    fnmr: tuple[Interval | None, ...]
    method: str


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Differences between groups.

    Attributes:
        counts: at the threshold.
        chosen: how the threshold was chosen on these data; None when it was given.
        reference: group whose comparisons it was chosen on; empty for all.
        bootstrap: intervals over subjects; None when subjects are unknown or none were asked for.
    """

    counts: GroupCounts
    chosen: OperatingPoint | None = None
    reference: str = ""
    bootstrap: Bootstrap | None = None

    def results(self) -> dict[str, Any]:
        """Section `groups` of a run."""
        counts, errors = self.counts, self.counts.errors
        return {
            "threshold": counts.threshold,
            "target": None if self.chosen is None else self.chosen.target,
            "status": None if self.chosen is None else self.chosen.status,
            "reference": self.reference,
            "names": list(counts.names),
            "fmr": [e.fmr for e in errors],
            "fnmr": [e.fnmr for e in errors],
            "counts": [self._row(g, e) for g, e in enumerate(errors)],
            "cross_fmr": _rates(counts.false_matches, counts.nonmated),
            "cross_counts": {
                "nonmated": counts.nonmated.tolist(),
                "false_matches": counts.false_matches.tolist(),
            },
            "mated_across": counts.mated_across,
            "measures": measures(errors),
            "interval_method": _WILSON if self.bootstrap is None else self.bootstrap.method,
        }

    def curves(self) -> dict[str, Any]:
        """None: there is one threshold."""
        return {}

    def notes(self) -> list[str]:
        """Sentences for the reader."""
        errors = self.counts.errors
        said = ["One threshold holds for all groups."]
        weak = [e.name for e in errors if not e.sufficient]
        if weak:
            said.append(
                f"Fewer than 30 errors of a kind in {', '.join(weak)}: ratios between groups are mostly "
                "chance there (rule of 30)."
            )
        if any(e.fmr == 0 or e.fnmr == 0 for e in errors):
            said.append("A group without an error makes ratios infinite; they are left empty.")
        if any(e.fmr is None or e.fnmr is None for e in errors):
            said.append("Groups without comparisons of a kind are left out of the measures of that kind.")
        if self.counts.mated_across:
            said.append(
                f"{self.counts.mated_across} mated comparisons are between two groups and in no group's FNMR."
            )
        return said

    def _row(self, g: int, errors: GroupErrors) -> dict[str, Any]:
        fmr, fnmr = errors.fmr_interval, errors.fnmr_interval
        if self.bootstrap is not None:
            fmr, fnmr = self.bootstrap.fmr[g], self.bootstrap.fnmr[g]
        return {
            "mated": errors.mated,
            "false_nonmatches": errors.false_nonmatches,
            "nonmated": errors.nonmated,
            "false_matches": errors.false_matches,
            "fmr_interval": _ends(fmr),
            "fnmr_interval": _ends(fnmr),
            "sufficient": errors.sufficient,
            "fmr_sufficient": errors.fmr_sufficient,
            "fnmr_sufficient": errors.fnmr_sufficient,
        }


def groups(
    similarity: np.ndarray,
    mated: np.ndarray,
    group_a: np.ndarray,
    group_b: np.ndarray,
    names: Sequence[str],
    *,
    threshold: float | None = None,
    target: float | None = None,
    reference: str = "",
    subjects: np.ndarray | None = None,
    replicates: int = 0,
    seed: int = SEED,
    policy: FailurePolicy = "reject",
) -> Groups:
    """From listed comparisons.

    Args:
        similarity: (n,) larger is more alike; NaN where a sample failed.
        mated: (n,) bool.
        group_a, group_b: (n,) numbers into `names` of both sides.
        names: of the groups.
        threshold: for everybody; or give `target`.
        target: false match rate at which the one threshold is chosen, by the floor rule.
        reference: group whose own non-mated comparisons it is chosen on; empty for all comparisons.
        subjects: (n, 2) subject numbers of both sides, for bootstrap intervals.
        replicates: draws of subjects; 0 for Wilson's intervals.
        seed: of the draws.
        policy: what a failed comparison counts as.

    Raises:
        ScoresInvalid: lengths differ, fewer than two groups, or one kind of comparison is missing.
        InvalidArgument: not exactly one of `threshold` and `target`, or an unknown reference group.
    """
    count = len(similarity)
    same = flags(mated, count, "labels")
    sides = sides_of(group_a, group_b, count, len(names))
    chosen = None
    if _by_target(threshold, target, reference, names):
        within = np.ones(count, bool)
        if reference:
            within = (sides == names.index(reference)).all(axis=1)
        chosen = at_fmr(Scores.of(similarity[within], same[within], policy=policy), target or 0.0)
    value = chosen.threshold if chosen is not None else float(threshold or 0.0)
    counts = count_groups(similarity, same, group_a, group_b, names, value, policy)
    bootstrap = None
    if subjects is not None and replicates:
        bootstrap = _bootstrap(similarity, same, sides, subjects, counts, policy, replicates, seed)
    return Groups(counts, chosen, reference, bootstrap)


def groups_of_all_pairs(
    pairs: AllPairs,
    names: Mapping[int, str],
    *,
    threshold: float | None = None,
    target: float | None = None,
    reference: str = "",
) -> Groups:
    """From the comparison of all pairs of samples, made with groups.

    Samples without a template were not in that comparison: their failures are to be reported beside.

    Args:
        pairs: with `group_cells`.
        names: of the groups by number.
        threshold, target, reference: as for `groups`.

    Raises:
        ScoresInvalid: the comparison had no groups, or fewer than two, or one kind of comparison is missing.
        InvalidArgument: not exactly one of `threshold` and `target`, or an unknown reference group.
        EvidenceInsufficient: the threshold lies below what was kept.
    """
    if not pairs.group_cells:
        raise ScoresInvalid("the comparison has no groups: repeat it with the group of each sample")
    numbers = sorted({g for cell in pairs.group_cells for g in (cell.a, cell.b)})
    called = tuple(names[g] for g in numbers)
    chosen = None
    if _by_target(threshold, target, reference, called):
        scores = pairs.scores
        if reference:
            wanted = numbers[called.index(reference)]
            cell = next(c for c in pairs.group_cells if c.a == c.b == wanted)
            scores = Scores(cell.mated, cell.nonmated, cell.nonmated_total)
        chosen = at_fmr(scores, target or 0.0)
    value = chosen.threshold if chosen is not None else float(threshold or 0.0)
    return Groups(count_cells(pairs, numbers, called, value), chosen, reference)


def measures(errors: Sequence[GroupErrors]) -> dict[str, float | None]:
    """Every measure of difference; None where one is undefined."""
    fmr = [e.fmr for e in errors if e.fmr is not None]
    fnmr = [e.fnmr for e in errors if e.fnmr is not None]
    values: dict[str, float | None] = {}
    for kind, rates in (("fmr", fmr), ("fnmr", fnmr)):
        enough = len(rates) >= 2
        values[f"gini_{kind}"] = gini(rates) if enough else None
        values[f"max_over_geomean_{kind}"] = max_over_geomean(rates) if enough else None
        values[f"max_over_min_{kind}"] = max_over_min(rates) if enough else None
        values[f"max_over_mean_{kind}"] = max_over_mean(rates) if enough else None
    whole = len(fmr) == len(fnmr) == len(errors) >= 2
    values["garbe"] = garbe(fmr, fnmr) if whole else None
    values["fairness_discrepancy_rate"] = fairness_discrepancy_rate(fmr, fnmr) if whole else None
    values["inequity_rate"] = inequity_rate(fmr, fnmr) if whole else None
    return values


def _by_target(threshold: float | None, target: float | None, reference: str, names: Sequence[str]) -> bool:
    if (threshold is None) == (target is None):
        raise InvalidArgument("give one threshold for all groups, or the false match rate to choose it at")
    if reference and (target is None or reference not in names):
        raise InvalidArgument(
            f"the reference group {reference!r} needs a false match rate and must be one of "
            f"{', '.join(names)}"
        )
    return target is not None


def _bootstrap(
    similarity: np.ndarray,
    mated: np.ndarray,
    sides: np.ndarray,
    subjects: np.ndarray,
    counts: GroupCounts,
    policy: FailurePolicy,
    replicates: int,
    seed: int,
) -> Bootstrap:
    """A mated comparison weighs as often as its subject was drawn, a non-mated one the product of both."""
    if subjects.shape != (len(similarity), 2):
        raise ScoresInvalid(f"{subjects.shape} subjects for {len(similarity)} comparisons: give two each")
    if ((subjects[:, 0] == subjects[:, 1]) != mated).any():
        raise ScoresInvalid("labels and subjects contradict each other: a mated pair has one subject")
    use = sides[:, 0] == sides[:, 1]
    if policy == "exclude":
        use &= ~np.isnan(similarity)
    people, who = np.unique(subjects[use], return_inverse=True)
    who, group, same = who.reshape(-1, 2), sides[use, 0], mated[use]
    accepted = similarity[use] >= least_accepted(counts.threshold, np.asarray(similarity).dtype)
    g = len(counts.names)
    cell, wrong = np.where(same, group + g, group), accepted != same
    rates = np.empty((replicates, 2 * g))
    for i, weight in enumerate(draws(len(people), replicates, seed)):
        each = weight[who[:, 0]] * np.where(same, 1, weight[who[:, 1]])
        total = np.bincount(cell, weights=each, minlength=2 * g)
        with np.errstate(invalid="ignore"):
            rates[i] = np.bincount(cell, weights=each * wrong, minlength=2 * g) / total
    ends = [_middle(rates[:, k]) for k in range(2 * g)]
    method = f"bootstrap over subjects, {replicates} draws, seed {seed}, 95 %"
    if not any(ends):
        raise EvidenceInsufficient(f"no group has subjects enough for a bootstrap ({len(people)} in all)")
    return Bootstrap(tuple(ends[:g]), tuple(ends[g:]), method)


def _middle(rates: np.ndarray) -> Interval | None:
    known = rates[~np.isnan(rates)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(float(low), float(high), "subject-bootstrap", 0.95)


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _rates(errors: np.ndarray, trials: np.ndarray) -> list[list[float | None]]:
    return [
        [int(e) / int(n) if n else None for e, n in zip(row, of, strict=True)]
        for row, of in zip(errors, trials, strict=True)
    ]
