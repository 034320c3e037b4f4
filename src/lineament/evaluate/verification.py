"""One-to-one comparison: what a threshold costs, at every rate asked for, with intervals.

False match rates count comparisons, and comparisons that share a person are not independent. Where subjects
are known, intervals therefore come from a bootstrap over subjects; otherwise they are Wilson's, which are too
narrow for data in which a person appears often, and say so.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lineament.core.errors import EvidenceInsufficient, ScoresInvalid
from lineament.core.threshold import Threshold
from lineament.metrics.bootstrap import bootstrap_at_fmr, bootstrap_at_threshold
from lineament.metrics.curves import auc, d_prime, histogram, roc, thinned
from lineament.metrics.eer import eer
from lineament.metrics.intervals import rule_of_three, trials_for_thirty, wilson
from lineament.metrics.likelihood import min_cllr
from lineament.metrics.operating import OperatingPoint, at_fmr, at_threshold
from lineament.metrics.scores import Scores

TARGETS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
REPLICATES = 1000
SEED = 20251125
DRAWN_BINS = 400
# Above this, pool-adjacent-violators takes longer than everything else together.
LARGEST_FOR_CLLR = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """Parts of a `Run`.

    Attributes:
        results: numbers by section.
        curves: columns to draw, by name.
        notes: sentences for the reader.
    """

    results: dict[str, Any] = field(default_factory=dict[str, Any])
    curves: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])


def verification(
    scores: Scores,
    *,
    targets: Sequence[float] = TARGETS,
    deployed: Threshold | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> Sections:
    """Operating points, summary measures and curves of one-to-one comparisons.

    Args:
        scores: mated and non-mated similarities.
        targets: false match rates; each gives the lowest threshold whose rate is not above it.
        deployed: a threshold from elsewhere, whose cost on these data is measured beside.
        replicates: bootstrap draws; 0 for Wilson intervals only.
        seed: of the draws.

    Raises:
        ScoresInvalid: there is only one kind of comparison.
        EvidenceInsufficient: a target needs similarities that were not kept.
    """
    scores.require_both()
    intervals = _Intervals(scores, replicates, seed)
    points = [intervals.describe(at_fmr(scores, target), chosen=True) for target in targets]
    balance = eer(scores)
    results: dict[str, Any] = {
        "points": points,
        "eer": {"value": balance.value, "method": balance.method, "threshold": balance.threshold},
        "auc": auc(scores),
        "d_prime": {"value": _separation(scores), "ddof": 1},
        "interval_method": intervals.method,
    }
    if scores.complete and len(scores.mated) + len(scores.nonmated) <= LARGEST_FOR_CLLR:
        results["min_cllr"] = min_cllr(scores.mated, scores.nonmated)
    notes = [
        "The threshold of each operating point was chosen on these very comparisons: it says what this model "
        "can do here, not what that threshold costs elsewhere. For that, measure a card on other people with "
        "`lineament calibrate`."
    ]
    if deployed is not None:
        results["deployed"], said = _deployed(scores, deployed, intervals)
        notes += said
    notes += _warnings(scores, points, intervals)
    return Sections({"verification": results}, drawn(scores), notes)


def _separation(scores: Scores) -> float | None:
    """d′, or None where similarities of neither kind vary, as in a file of decisions."""
    try:
        return d_prime(scores)
    except ScoresInvalid:
        return None


def drawn(scores: Scores) -> dict[str, Any]:
    """Curves of one-to-one comparisons: `roc` and `histogram`."""
    line, bars = thinned(roc(scores)), histogram(scores, DRAWN_BINS)
    return {
        "roc": {"threshold": line.threshold, "fmr": line.fmr, "fnmr": line.fnmr},
        "histogram": {
            "low": bars.low, "high": bars.high, "mated": bars.mated, "nonmated": bars.nonmated
        },
    }  # fmt: skip


class _Intervals:
    """95 % intervals of the rates at a point: over subjects where they are known, else Wilson's."""

    def __init__(self, scores: Scores, replicates: int, seed: int) -> None:
        self.scores = scores
        self.replicates = replicates
        self.seed = seed
        known = scores.mated_subject is not None and scores.nonmated_subjects is not None
        self.over_subjects = known and replicates > 0
        self.method = (
            f"bootstrap over subjects, {replicates} draws, seed {seed}, 95 %"
            if self.over_subjects
            else "Wilson 95 %, comparisons counted as independent"
        )

    def describe(self, point: OperatingPoint, *, chosen: bool) -> dict[str, Any]:
        """The point as plain values with its intervals.

        Args:
            point: counts and rates.
            chosen: the threshold was chosen on these data, so each draw chooses its own; else it is fixed.
        """
        row = {**asdict(point), "tar": point.tar}
        fmr, fnmr = self._both(point, chosen)
        row |= {
            "fmr_interval": fmr,
            "fnmr_interval": fnmr,
            "tar_interval": None if fnmr is None else [1.0 - fnmr[1], 1.0 - fnmr[0]],
            "interval_method": self.method,
        }
        return row

    def _both(self, point: OperatingPoint, chosen: bool) -> tuple[list[float] | None, list[float] | None]:
        if not self.over_subjects:
            fmr = wilson(point.false_matches, point.nonmated)
            fnmr = wilson(point.false_nonmatches, point.mated)
            return [fmr.low, fmr.high], [fnmr.low, fnmr.high]
        fixed = bootstrap_at_threshold(self.scores, point.threshold, self.replicates, self.seed)
        moving = fixed
        if chosen and point.status == "ok" and point.bar is not None:
            moving = bootstrap_at_fmr(self.scores, point.target, self.replicates, self.seed)
        return [fixed.fmr.low, fixed.fmr.high], [moving.fnmr.low, moving.fnmr.high]


def _deployed(
    scores: Scores, threshold: Threshold, intervals: _Intervals
) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        point = at_threshold(scores, threshold.value)
    except EvidenceInsufficient as error:
        return None, [f"The deployed threshold {threshold.value:.4f} was not measured here: {error.message}."]
    row = intervals.describe(point, chosen=False)
    name = f"measured on {threshold.dataset}, {threshold.date}" if threshold.measured else threshold.method
    return {**row, "name": name, "promised_fmr": threshold.fmr}, []


def _warnings(scores: Scores, points: list[dict[str, Any]], intervals: _Intervals) -> list[str]:
    notes: list[str] = []
    nonmated = scores.nonmated_count
    short = [p for p in points if p["status"] == "insufficient"]
    if short:
        smallest = ", ".join(f"{p['target']:g}" for p in short)
        notes.append(
            f"At {smallest} there is less than one false match to count among {nonmated:,} non-mated "
            "comparisons: nothing is claimed there but a false match rate under "
            f"{rule_of_three(nonmated):.2g} (rule of three)."
        )
    weak = [p for p in points if p["status"] == "ok" and not p["reliable"]]
    if weak:
        named = ", ".join(f"{p['target']:g} ({p['false_matches']})" for p in weak)
        notes.append(
            f"Fewer than 30 false matches at {named}: by the rule of 30 such a point needs at least "
            f"{trials_for_thirty(weak[-1]['target']):,} non-mated comparisons."
        )
    if not intervals.over_subjects:
        notes.append(
            "Intervals count comparisons as independent; people who appear in many comparisons make the "
            "truth wider."
        )
    return notes
