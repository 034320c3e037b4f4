"""Benchmarks that are a list of pairs: LFW View 2, CFP-FP, AgeDB-30, CALFW, CPLFW, and anybody's own.

Strict protocol: the threshold of each fold is the best one on all the others, found exactly; the result is
the mean accuracy over folds with its standard error (Huang et al., UMass TR 07-49, 2007). `insightface`
repeats what arcface_torch's `verification.py` does instead (grid of 400 thresholds, first best, standard
deviation with ddof 0), for figures that must be set beside published ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.core.threshold import Threshold
from lineament.evaluate.verification import REPLICATES, SEED, TARGETS, Sections, verification
from lineament.metrics.discard import edc, partial_area
from lineament.metrics.folds import insightface_folds, strict_folds
from lineament.metrics.intervals import wilson
from lineament.metrics.operating import at_fmr
from lineament.metrics.scores import FailurePolicy, Scores

FoldMode = Literal["strict", "insightface"]
WORST = 50
DISCARD_FMR = 1e-3
DISCARD_LIMIT = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A list of pairs and what comparing them gave.

    Attributes:
        similarity: (n,) cosine; NaN where a sample gave no template.
        mated: (n,) bool.
        fold: (n,) fold numbers, or None.
        subjects: (n, 2) subject numbers, or None when they are unknown.
        quality: (n, 2) of both samples, larger is better, or None.
        names: both samples of each pair, for the list of worst errors; may be empty.
        vectors: unit templates of both sides, (n, d) each, for the mode `insightface` only.
    """

    similarity: np.ndarray
    mated: np.ndarray
    fold: np.ndarray | None = None
    subjects: np.ndarray | None = None
    quality: np.ndarray | None = None
    names: tuple[Sequence[str], Sequence[str]] = ((), ())
    vectors: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        n = len(self.similarity)
        columns = {
            "labels": self.mated,
            "folds": self.fold,
            "subjects": self.subjects,
            "qualities": self.quality,
        }
        for what, column in columns.items():
            if column is not None and len(column) != n:
                raise ScoresInvalid(f"{len(column)} {what} for {n} similarities: give one per comparison")

    def without_failures(self) -> "Compared":
        """Only pairs of which both samples gave a template."""
        keep = np.flatnonzero(~np.isnan(self.similarity))
        a, b = self.names
        chosen = keep.tolist()
        return Compared(
            self.similarity[keep],
            self.mated[keep],
            None if self.fold is None else self.fold[keep],
            None if self.subjects is None else self.subjects[keep],
            None if self.quality is None else self.quality[keep],
            ([a[i] for i in chosen], [b[i] for i in chosen]) if a else ((), ()),
            None if self.vectors is None else (self.vectors[0][keep], self.vectors[1][keep]),
        )


def pairs(
    compared: Compared,
    *,
    mode: FoldMode = "strict",
    policy: FailurePolicy = "reject",
    targets: Sequence[float] = TARGETS,
    deployed: Threshold | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> tuple[Sections, Scores]:
    """Accuracy over folds, operating points, and the worst errors of a list of pairs.

    Args:
        compared: the pairs.
        mode: how folds are scored.
        policy: `reject`: a pair with a failed sample is rejected, right or wrong; `exclude`: it is left out.
        targets, deployed, replicates, seed: as for `verification`.

    Returns:
        Sections `accuracy` (when there are folds), `verification`, `errors`, `discard` (when qualities are
        known), and the scores they were computed from.

    Raises:
        ScoresInvalid: one kind of pair only, a fold without one kind, labels of another length.
        InvalidArgument: an unknown mode, or `insightface` without templates.
    """
    if mode not in ("strict", "insightface"):
        raise InvalidArgument(f"folds are scored strict or as insightface does, not {mode!r}")
    used = compared.without_failures() if policy == "exclude" else compared
    scores = Scores.of(used.similarity, used.mated, subjects=used.subjects, policy=policy)
    done = verification(scores, targets=targets, deployed=deployed, replicates=replicates, seed=seed)
    results: dict[str, Any] = {}
    notes = list(done.notes)
    if mode == "insightface":
        results["accuracy"] = _insightface(used)
        notes.append(
            "Accuracy as arcface_torch's verification.py computes it: a grid of 400 thresholds on the "
            "squared "
            "distance and the standard deviation over folds with ddof 0, which is not a standard error."
        )
    elif used.fold is not None:
        results["accuracy"] = _strict(used)
    else:
        notes.append(
            "The pairs have no folds, so no accuracy is given: its threshold would have to be chosen on "
            "the same pairs. Add a column `fold`."
        )
    curves = dict(done.curves)
    if used.quality is not None:
        section, curve = discard(used, scores)
        results["discard"], curves["edc"] = section, curve
    results |= {"verification": done.results["verification"], "errors": worst(used, done.results)}
    return Sections(results, curves, notes), scores


def _strict(compared: Compared) -> dict[str, Any]:
    if compared.fold is None:
        raise ScoresInvalid("there are no folds")
    folds = strict_folds(compared.similarity, compared.mated, compared.fold)
    right = round(float(folds.mean) * len(compared.mated))
    interval = wilson(right, len(compared.mated))
    return {
        "mode": "strict",
        "mean": folds.mean,
        "standard_error": folds.standard_error,
        "spread": folds.spread,
        "folds": folds.accuracies,
        "thresholds": folds.thresholds,
        "interval": [interval.low, interval.high],
        "interval_method": "Wilson 95 %, pairs counted as independent",
    }


def _insightface(compared: Compared) -> dict[str, Any]:
    if compared.vectors is None:
        raise InvalidArgument("the mode insightface works on templates: similarities alone are not enough")
    a, b = (v.astype(np.float64, copy=True) for v in compared.vectors)
    failed = np.isnan(compared.similarity)
    # As far apart as unit vectors can be: rejected at any threshold of the grid.
    a[failed], b[failed] = 0.0, 0.0
    a[failed, 0], b[failed, 0] = 1.0, -1.0
    folds = insightface_folds(a, b, compared.mated)
    return {
        "mode": "insightface",
        "mean": folds.mean,
        "standard_error": None,
        "spread": folds.spread,
        "folds": folds.accuracies,
        "thresholds": 1.0 - folds.thresholds / 2.0,
        "interval": None,
        "interval_method": "none",
    }


def discard(compared: Compared, scores: Scores) -> tuple[dict[str, Any], dict[str, Any]]:
    """Error versus discard: how the false non-match rate falls as the poorest captures are left out.

    Args:
        compared: pairs with qualities.
        scores: theirs.

    Returns:
        A section and a curve. The threshold is that of FMR 1e-3 on all pairs and stays fixed.
    """
    if compared.quality is None:
        raise ScoresInvalid("the captures have no quality")
    point = at_fmr(scores, DISCARD_FMR)
    good = compared.mated & ~np.isnan(compared.similarity) & np.isfinite(compared.quality).all(axis=1)
    q = compared.quality[good]
    curve = edc(compared.similarity[good], q[:, 0], q[:, 1], point.threshold)
    section = {
        "threshold": point.threshold,
        "quality": "length of the raw template, the smaller of the two captures",
        "fnmr_at_start": float(curve.error[0]),
        "partial_area": partial_area(curve, DISCARD_LIMIT, how="step"),
        "limit": DISCARD_LIMIT,
    }
    return section, {"discarded": curve.discarded, "fnmr": curve.error}


def worst(compared: Compared, results: dict[str, Any]) -> dict[str, Any]:
    """The most similar non-mated and the least similar mated pairs, by name."""
    a, b = compared.names
    if not a:
        return {}
    similarity = np.asarray(compared.similarity, np.float64)
    high = np.argsort(np.where(compared.mated | np.isnan(similarity), np.inf, -similarity), kind="stable")
    low = np.argsort(np.where(~compared.mated | np.isnan(similarity), np.inf, similarity), kind="stable")
    others, same = int((~compared.mated).sum()), int(compared.mated.sum())

    def rows(order: np.ndarray, count: int) -> list[dict[str, Any]]:
        return [{"a": a[i], "b": b[i], "similarity": similarity[i]} for i in order[: min(WORST, count)]]

    return {"false_matches": rows(high, others), "false_nonmatches": rows(low, same)}
