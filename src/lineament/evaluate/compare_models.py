"""Is model A better than model B? The difference on the same data, with its interval.

Two intervals that overlap prove nothing: both models see the same people, and what is hard for one is hard
for the other. So the difference itself is bootstrapped: each draw takes people with replacement, and both
models are measured on that draw (paired subject bootstrap).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineament.core.errors import DatasetInvalid, EvidenceInsufficient, InvalidArgument
from lineament.evaluate.run import Run
from lineament.metrics.bootstrap import draws
from lineament.metrics.operating import allowed
from lineament.metrics.scores import Scores

REPLICATES = 2000
SEED = 20251125


@dataclass(frozen=True, slots=True)
class Difference:
    """A − B in one measure.

    Attributes:
        measure: for example `tar@0.0001` or `accuracy`.
        a, b: each model's own value.
        difference: a − b.
        interval: 95 % of the difference over draws of people.
        share_above: share of draws in which A is the better one.
        clear: whether the interval leaves out 0.
    """

    measure: str
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    share_above: float
    clear: bool


def compare_models(
    a: Run, b: Run, *, targets: Sequence[float] = (), replicates: int = REPLICATES, seed: int = SEED
) -> list[Difference]:
    """Differences between two runs over the same comparisons.

    Args:
        a, b: runs with their arrays, over the same data.
        targets: false match rates; empty for those that both runs report and the data can carry.
        replicates: draws.
        seed: of the draws.

    Raises:
        DatasetInvalid: other data, or the arrays are missing.
        EvidenceInsufficient: no common rate that the data can carry.
        InvalidArgument: too few draws.
    """
    if replicates < 100:
        raise InvalidArgument(f"{replicates} draws say nothing about an interval: take at least 100")
    if a.data.digest != b.data.digest or not a.data.digest:
        raise DatasetInvalid(
            f"the runs are on different data ({a.data.name!r} and {b.data.name!r}): evaluate both models on "
            "the same pairs or pictures"
        )
    first, second = _measured(a), _measured(b)
    rates = list(targets) or _common_targets(a, b)
    with_accuracy = first.correct is not None and second.correct is not None
    if not rates and not with_accuracy:
        raise EvidenceInsufficient("the runs have no operating point in common that the data can carry")
    names = [f"tar@{rate:g}" for rate in rates] + ["accuracy"] * with_accuracy
    own = [np.array(side.measures(np.ones(side.units, np.int64), rates)) for side in (first, second)]
    gaps = np.array(
        [
            np.array(first.measures(draw, rates)) - np.array(second.measures(draw, rates))
            for draw in draws(first.units, replicates, seed)
        ]
    )
    return [_difference(n, own[0][k], own[1][k], gaps[:, k]) for k, n in enumerate(names)]


def _difference(name: str, a: float, b: float, gaps: np.ndarray) -> Difference:
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        raise EvidenceInsufficient(f"no draw of people has enough comparisons for {name}")
    low, high = (float(v) for v in np.quantile(gaps, (0.025, 0.975)))
    above = float((gaps > 0).mean() + (gaps == 0).mean() / 2)
    return Difference(name, float(a), float(b), float(a - b), (low, high), above, low > 0 or high < 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Comparisons of one run, and which units (people, or comparisons) they belong to.

    Attributes:
        mated, nonmated: similarities; the latter descending.
        mated_unit: (m,), nonmated_units: (t, 1 or 2) units whose draws multiply to a comparison's weight.
        units: how many there are.
        total: non-mated comparisons, when only the largest similarities are here.
        samples: (units,) samples of each person, when all pairs were compared.
        correct, correct_units, label: whether the decision of each pair was right, whose pair it is, and
            whether it is mated, for the accuracy over folds.
    """

    mated: np.ndarray
    nonmated: np.ndarray
    mated_unit: np.ndarray
    nonmated_units: np.ndarray
    units: int
    total: int
    samples: np.ndarray | None = None
    correct: np.ndarray | None = None
    correct_units: np.ndarray | None = None
    label: np.ndarray | None = None

    def measures(self, draw: np.ndarray, rates: Sequence[float]) -> list[float]:
        """True accept rates under a draw, then the accuracy where there is one; NaN where nothing is left."""
        weight = draw[self.nonmated_units].prod(axis=1)
        reached, of = np.cumsum(weight), self._weight_of_all(draw, int(weight.sum()))
        mated = draw[self.mated_unit]
        found = [self._tar(rate, reached, of, mated) for rate in rates]
        if self.correct is not None and self.correct_units is not None:
            # Both pictures of a mated pair are of one person, who counts once.
            label = np.asarray(self.label)
            w = np.where(label, draw[self.correct_units[:, 0]], draw[self.correct_units].prod(axis=1))
            found.append(float(w[self.correct].sum() / w.sum()) if w.sum() else float("nan"))
        return found

    def _weight_of_all(self, draw: np.ndarray, kept: int) -> int:
        if self.samples is None:
            return kept
        weighted = draw * self.samples
        return int((weighted.sum() ** 2 - (weighted**2).sum()) // 2)

    def _tar(self, rate: float, reached: np.ndarray, of: int, mated: np.ndarray) -> float:
        weight = mated.sum()
        if not weight or not of:
            return float("nan")
        at = int(np.searchsorted(reached, allowed(rate, of), side="right"))
        if at >= len(self.nonmated):
            # Every similarity may pass; when only the largest were kept, how low the bar lies is unknown.
            return 1.0 if len(self.nonmated) == self.total else float("nan")
        return float(mated[self.mated > self.nonmated[at]].sum() / weight)


def _measured(run: Run) -> _Measured:
    have = run.arrays
    try:
        return _listed(have) if "similarity" in have else _all_pairs(have)
    except KeyError as error:
        raise DatasetInvalid(
            f"the similarities of the run on {run.data.name!r} are missing: keep the .npz file beside the "
            ".json"
        ) from error


def _listed(have: dict[str, np.ndarray]) -> _Measured:
    """A list of pairs, in its own order in both runs."""
    # A failed comparison is rejected at every threshold.
    similarity = np.where(np.isnan(have["similarity"]), -np.inf, have["similarity"])
    label, n = have["label"].astype(bool), len(have["similarity"])
    if "subject" in have:
        of_pair = have["subject"]
        units = int(of_pair.max()) + 1
    else:
        of_pair, units = np.arange(n)[:, None], n
    other = np.flatnonzero(~label)
    other = other[np.argsort(-similarity[other], kind="stable")]
    correct = have.get("correct")
    return _Measured(
        mated=similarity[label],
        nonmated=similarity[other],
        mated_unit=of_pair[label, 0],
        nonmated_units=of_pair[other],
        units=units,
        total=len(other),
        correct=None if correct is None else correct.astype(bool),
        correct_units=None if correct is None else of_pair,
        label=label,
    )


def _all_pairs(have: dict[str, np.ndarray]) -> _Measured:
    return _Measured(
        mated=have["mated"],
        nonmated=have["nonmated"],
        mated_unit=have["mated_subject"],
        nonmated_units=have["nonmated_subjects"],
        units=len(have["samples"]),
        total=int(have["nonmated_total"]),
        samples=have["samples"].astype(np.int64),
    )


def arrays_of(scores: Scores) -> dict[str, np.ndarray]:
    """What a comparison needs to keep of all-pairs scores."""
    columns = {
        "mated": scores.mated,
        "nonmated": scores.nonmated,
        "nonmated_total": np.array(scores.nonmated_total),
        "mated_subject": scores.mated_subject,
        "nonmated_subjects": scores.nonmated_subjects,
        "samples": scores.samples,
    }
    return {name: column for name, column in columns.items() if column is not None}


def _common_targets(a: Run, b: Run) -> list[float]:
    def usable(run: Run) -> set[float]:
        points: list[dict[str, Any]] = run.results.get("verification", {}).get("points", [])
        return {float(p["target"]) for p in points if p["status"] == "ok"}

    return sorted(usable(a) & usable(b), reverse=True)
