"""BLUFR: all of LFW at low false accept rates, verification and open-set identification, over ten splits.

S. Liao, Z. Lei, D. Yi, S. Z. Li, "A Benchmark Study of Large-scale Unconstrained Face Recognition", IJCB
2014. As the authors' toolkit (`EvalROC.m`, `OpenSetROC.m`) does it, in each split:

* *verification*: every pair of pictures of the test set once (the part below the diagonal of the matrix of
  `testIndex`, which is the gallery and both kinds of probes together, everything but the training set): on
  average 156,915 mated and 47.0 million non-mated comparisons (the paper's 46,960,863 are those of the
  average number of pictures). Reported: VR = 1 − FNMR at FAR = 0.1 %.
* *open-set identification*: mated and non-mated probes searched in the gallery of 1,000 people, one picture
  each. Reported: DIR at rank 1 where FAR, the share of non-mated probes with a candidate, is 1 %.

Over the splits the mean, the standard deviation (n − 1, MATLAB's `std`) and, as the ranking, mean minus
standard deviation. The splits share people: the standard deviation is a spread, not a standard error.

One difference: the toolkit rounds the allowed false accepts and can exceed the rate (49 of 4,862 is 1.008 %);
here they are rounded down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lineament.core.errors import DatasetInvalid, ScoresInvalid
from lineament.datasets.blufr import Split
from lineament.evaluate.allpairs import all_pairs
from lineament.evaluate.galleries import HULL, OpenSets, hull, several
from lineament.evaluate.openset import RANKS, SEED, openset
from lineament.evaluate.points import comparison_point
from lineament.evaluate.rows import failures, labels
from lineament.metrics.operating import OperatingPoint, allowed, at_fmr
from lineament.metrics.scores import FailurePolicy, Scores

FAR = 0.001
"""Of verification."""
SEARCH_FAR = 0.01
"""Of identification: a false positive identification rate."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One number over the splits.

    Attributes:
        mean: over splits.
        sd: with n − 1; 0 for one split.
        fused: mean − sd, by which BLUFR ranks.
    """

    mean: float
    sd: float
    fused: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value a split."""
        mean = float(np.mean(values))
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        return cls(mean, sd, mean - sd)


@dataclass(frozen=True, slots=True, eq=False)
class Blufr:
    """Result of the protocol.

    Attributes:
        points: verification of each split, in order.
        searches: identification, by name of split.
    """

    points: tuple[OperatingPoint, ...]
    searches: OpenSets

    @property
    def verification_rate(self) -> Spread:
        """VR at FAR = 0.1 %."""
        return Spread.of([point.tar for point in self.points])

    @property
    def identification_rate(self) -> Spread:
        """DIR at rank 1 and FAR = 1 %."""
        firsts = [next(p for p in part.points if p.rank == 1) for part in self.searches.parts.values()]
        return Spread.of([point.dir for point in firsts])

    def results(self) -> dict[str, Any]:
        """Sections `verification` and `identification` of a run; `mean_sd` has what BLUFR reports."""
        rows = [comparison_point(point) for point in self.points]
        splits = [
            {"name": name, "points": [row]} for name, row in zip(self.searches.parts, rows, strict=True)
        ]
        verification_rate, identification_rate = self.verification_rate, self.identification_rate
        reported = {
            f"vr_at_far_{FAR:g}": _row(verification_rate),
            f"dir_at_far_{SEARCH_FAR:g}_rank_1": _row(identification_rate),
        }
        return {
            "verification": {"points": [_mean(rows)], "splits": splits, "mean_sd": reported},
            "identification": {**self.searches.results(), "mean_sd": reported},
        }

    def curves(self) -> dict[str, Any]:
        """Means over the splits: `cmc` and `fnir_fpir`."""
        return self.searches.curves()

    def notes(self) -> list[str]:
        """Sentences for the reader."""
        return [
            f"BLUFR over {len(self.points)} splits: verification on all pairs of each test set, open-set "
            "identification of its probes in its gallery. The splits share people, so that their standard "
            "deviation is a spread and no standard error.",
            *self.searches.notes(),
        ]


def blufr(
    vectors: np.ndarray,
    names: Sequence[str],
    subject: np.ndarray,
    splits: Sequence[Split],
    *,
    ranks: Sequence[int] = RANKS,
    replicates: int = 0,
    seed: int = SEED,
    policy: FailurePolicy = "reject",
) -> Blufr:
    """Run the protocol.

    Args:
        vectors: (n, d) unit templates of all pictures; NaN rows are failures.
        names: (n,) of pictures, as in the splits.
        subject: (n,) subject numbers.
        splits: as read from the protocol's file.
        ranks: whose rates over mated probes are reported besides.
        replicates: draws of people for bootstrap intervals of the mean FNIR; 0 for none.
        seed: of the draws.
        policy: what a failed comparison or search counts as.

    Raises:
        DatasetInvalid: a split names a picture that is not there, or a probe that is not of its kind.
        ScoresInvalid: there is no split, or lengths differ.
    """
    if not splits:
        raise ScoresInvalid("there is no split to evaluate")
    failed = failures(vectors, "the templates")
    who = labels(subject, len(vectors), "subjects")
    index = {name: i for i, name in enumerate(names)}
    points: list[OperatingPoint] = []
    parts: dict[str, Any] = {}
    for split in splits:
        gallery, probes = _rows(split, index, who)
        points.append(_verify(vectors, who, failed, np.concatenate([gallery, probes]), policy))
        parts[split.name] = openset(
            vectors[gallery],
            who[gallery],
            vectors[probes],
            who[probes],
            targets=(SEARCH_FAR,),
            ranks=ranks,
            policy=policy,
        )
    return Blufr(tuple(points), several(parts, replicates, seed))


def _rows(split: Split, index: dict[str, int], who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the gallery and of all probes of a split."""
    gallery = _find(split.gallery, index, split.name)
    mated = _find(split.probe_mated, index, split.name)
    other = _find(split.probe_nonmated, index, split.name)
    enrolled = who[gallery]
    wrong = int((~np.isin(who[mated], enrolled)).sum() + np.isin(who[other], enrolled).sum())
    every = np.concatenate([gallery, mated, other])
    twice = len(every) - len(np.unique(every))
    if wrong or twice:
        raise DatasetInvalid(
            f"{split.name}: {wrong} probes are not of the kind they are listed as, and {twice} pictures "
            "are listed twice: the splits are of other pictures or people"
        )
    return gallery, np.concatenate([mated, other])


def _find(names: Iterable[str], index: dict[str, int], split: str) -> np.ndarray:
    names = list(names)
    missing = [name for name in names if name not in index]
    if missing:
        raise DatasetInvalid(
            f"{split}: {len(missing)} of {len(names)} pictures are not here, the first is {missing[0]}"
        )
    return np.array([index[name] for name in names], np.int64)


def _verify(
    vectors: np.ndarray, who: np.ndarray, failed: np.ndarray, rows: np.ndarray, policy: FailurePolicy
) -> OperatingPoint:
    """VR of one split on every pair of its test set."""
    usable = rows[~failed[rows]]
    mated, other = _pairs(who[rows])
    _, kept = _pairs(who[usable])
    if not kept:
        raise ScoresInvalid("the test set has no non-mated pair of pictures with templates")
    largest = allowed(FAR, other) + 1
    scores = all_pairs(vectors[usable], who[usable], keep=min(1.0, largest / kept)).scores
    return at_fmr(_with_failures(scores, mated, other) if policy == "reject" else scores, FAR)


def _with_failures(scores: Scores, mated: int, nonmated: int) -> Scores:
    return replace(
        scores,
        mated_failed=mated - len(scores.mated),
        nonmated_failed=nonmated - scores.nonmated_total,
    )


def _pairs(subject: np.ndarray) -> tuple[int, int]:
    """Mated and non-mated pairs of samples."""
    sizes = np.unique(subject, return_counts=True)[1]
    mated = int((sizes * (sizes - 1) // 2).sum())
    return mated, len(subject) * (len(subject) - 1) // 2 - mated


def _row(spread: Spread) -> dict[str, float]:
    return {"mean": spread.mean, "sd": spread.sd, "mean_minus_sd": spread.fused}


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of the rates, sums of the counts; a threshold belongs to one split and has no mean."""
    row: dict[str, Any] = {"target": rows[0]["target"], "bar": None, "threshold": None}
    for key in ("allowed", "false_matches", "nonmated", "false_nonmatches", "mated"):
        row[key] = sum(r[key] for r in rows)
    for key in ("fmr", "fnmr", "tar"):
        row[key] = float(np.mean([r[key] for r in rows]))
        row[f"{key}_interval"] = hull([r[f"{key}_interval"] for r in rows])
    status = "ok" if all(r["status"] == "ok" for r in rows) else "insufficient"
    return {
        **row,
        "status": status,
        "reliable": all(r["reliable"] for r in rows),
        "interval_method": HULL,
    }
