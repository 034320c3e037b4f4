"""Open-set search: who is found who should be, and who is found who should not.

FPIR(T) is the share of non-mated searches with a candidate at or above T, FNIR(N, R, T) the share of mated
searches whose mate is not at or above T with rank at most R in a gallery of N subjects (ISO/IEC 19795-1; NIST
FRTE 1:N). A search threshold holds for its gallery size only, and a comparison threshold is none.

Several galleries are several experiments: `lineament.evaluate.galleries` averages them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.points import METHOD, search_point
from lineament.evaluate.redraw import Asked, redraw
from lineament.evaluate.search import Found, count_accepted, find
from lineament.evaluate.search import search as search
from lineament.evaluate.sweep import RankRate, Sweep, cmc_at, drawn_ranks, rank_rate, rank_row
from lineament.metrics.identification import Searches, SearchPoint, at_fpir, fpir_from_fmr
from lineament.metrics.intervals import Interval
from lineament.metrics.scores import FailurePolicy

TARGETS = (0.003, 0.01, 0.1)
RANKS = (1, 5, 10, 20)
SEED = 20251125


@dataclass(frozen=True, slots=True)
class Binomial:
    """What single comparisons would have promised.

    Attributes:
        target: the false positive identification rate whose threshold this is about.
        threshold: of that operating point.
        fmr: share of single comparisons of non-mated searches at or above it.
        comparisons: how many there were.
        predicted: 1 − (1 − fmr)^N for N references, as if comparisons were independent.
        measured: the false positive identification rate there.
    """

    target: float
    threshold: float
    fmr: float
    comparisons: int
    predicted: float
    measured: float


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """Rates of searches in one gallery.

    Attributes:
        found: every search.
        points: FNIR at each false positive identification rate, within rank 1 and at any rank.
        rank_rates: closed-set rates of mated searches.
        binomial: beside each target, what single comparisons predict.
        intervals: bootstrap intervals of FNIR by (target, rank), when asked for.
    """

    found: Found
    points: tuple[SearchPoint, ...]
    rank_rates: tuple[RankRate, ...]
    binomial: tuple[Binomial, ...] = ()
    intervals: Mapping[Asked, Interval] | None = None

    def results(self) -> dict[str, Any]:
        """Section `identification` of a run."""
        found = self.found
        return {
            "gallery": found.subjects,
            "references": found.references,
            "references_failed": found.references_failed,
            "subjects_failed": found.subjects_failed,
            "searches": searches_counts(found),
            "points": [with_bootstrap(search_point(p), self.intervals) for p in self.points],
            "rank_rates": [rank_row(r) for r in self.rank_rates],
            "binomial": [_binomial_row(b) for b in self.binomial],
            "interval_method": METHOD,
        }

    def curves(self) -> dict[str, Any]:
        """Columns `cmc` and, with non-mated searches, `fnir_fpir`; no rate below one error is drawn."""
        searches = self.found.searches
        ranks = drawn_ranks(self.found.subjects)
        columns: dict[str, Any] = {"cmc": {"rank": ranks, "rate": cmc_at(searches, ranks)}}
        sweep = Sweep.of(searches)
        if sweep.nonmated:
            columns["fnir_fpir"] = sweep.curve()
        return columns

    def notes(self) -> list[str]:
        """Sentences for the reader."""
        return _notes(self.found, self.binomial)


def openset(
    gallery: np.ndarray,
    gallery_subject: np.ndarray,
    probes: np.ndarray,
    probe_subject: np.ndarray,
    *,
    targets: Sequence[float] = TARGETS,
    ranks: Sequence[int] = RANKS,
    replicates: int = 0,
    seed: int = SEED,
    policy: FailurePolicy = "reject",
    block: int | None = None,
) -> OpenSet:
    """Search every probe in one gallery and count.

    Args:
        gallery: (g, d) unit templates, NaN rows are failures; several references of a subject are allowed.
        gallery_subject: (g,) subject numbers.
        probes: (p, d), likewise.
        probe_subject: (p,) subject numbers.
        targets: false positive identification rates; empty for a closed set, without non-mated probes.
        ranks: whose rates over mated searches are reported.
        replicates: draws of people for bootstrap intervals of FNIR; 0 for Wilson's only.
        seed: of the draws.
        policy: what a failed search counts as.
        block: probes compared at once.

    Raises:
        ScoresInvalid: shapes differ, the gallery is empty, or there are no mated (or, with targets, no
            non-mated) searches.
        TemplateInvalid: a row is not of unit length.
    """
    found = find(gallery, gallery_subject, probes, probe_subject, block, policy)
    summary = summarise(found, targets, ranks, replicates, seed)
    checks = tuple(
        _binomial(gallery, gallery_subject, probes, found, point)
        for point in summary.points
        if point.rank is None and point.bar is not None
    )
    return OpenSet(found, summary.points, summary.rank_rates, checks, summary.intervals)


def summarise(
    found: Found,
    targets: Sequence[float] = TARGETS,
    ranks: Sequence[int] = RANKS,
    replicates: int = 0,
    seed: int = SEED,
) -> OpenSet:
    """`openset` from searches made before, without the comparison with single comparisons."""
    searches = found.searches
    _require(searches, with_nonmated=bool(targets))
    asked: list[Asked] = [(target, rank) for target in targets for rank in (1, None)]
    points = tuple(at_fpir(searches, target, rank) for target, rank in asked)
    intervals = redraw([found], asked, replicates, seed) if replicates and asked else None
    return OpenSet(found, points, tuple(rank_rate(searches, rank) for rank in ranks), (), intervals)


def searches_counts(found: Found) -> dict[str, int]:
    """How many searches there were and how many failed, whatever the policy."""
    return {
        "mated": int(found.mated.sum()),
        "nonmated": int((~found.mated).sum()),
        "mated_failed": int((found.mated & found.failed).sum()),
        "nonmated_failed": int((~found.mated & found.failed).sum()),
    }


def _require(searches: Searches, *, with_nonmated: bool) -> None:
    if not len(searches.mate_rank) + searches.mated_failed:
        raise ScoresInvalid("there is no mated search: no probe's subject is in the gallery")
    if with_nonmated and not len(searches.top_nonmated) + searches.nonmated_failed:
        raise ScoresInvalid(
            "there is no non-mated search: every probe's subject is in the gallery, so nothing can be said "
            "of false positives; search also for people who are not enrolled, or ask for rank rates only"
        )


def _binomial(
    gallery: np.ndarray, gallery_subject: np.ndarray, probes: np.ndarray, found: Found, point: SearchPoint
) -> Binomial:
    accepted, comparisons = count_accepted(gallery, gallery_subject, probes, found, point.threshold)
    fmr = accepted / comparisons
    return Binomial(
        point.target, point.threshold, fmr, comparisons, fpir_from_fmr(fmr, found.references), point.fpir
    )


def _notes(found: Found, checks: Sequence[Binomial]) -> list[str]:
    said: list[str] = []
    if found.references_failed:
        said.append(
            f"References without a template: {found.references_failed}, not enrolled. Subjects left without "
            f"any: {found.subjects_failed}; searches for them "
            + ("are misses." if found.policy == "reject" else "were left out.")
        )
    said += [
        f"At the threshold for FPIR {check.target:g}, {check.fmr:.3g} of single comparisons match; were they "
        f"independent, a search among {found.references:,} references would give FPIR "
        f"{check.predicted:.3g}; measured: {check.measured:.3g}."
        for check in checks
    ]
    return said


def _binomial_row(check: Binomial) -> dict[str, Any]:
    return {
        "target": check.target,
        "threshold": check.threshold,
        "fmr": check.fmr,
        "comparisons": check.comparisons,
        "fpir_predicted": check.predicted,
        "fpir": check.measured,
    }


def with_bootstrap(row: dict[str, Any], intervals: Mapping[Asked, Interval] | None) -> dict[str, Any]:
    """A point with the bootstrap interval of its FNIR, where there is one."""
    if intervals is None:
        return row
    interval = intervals[row["target"], row["rank"]]
    return {
        **row,
        "fnir_bootstrap": [interval.low, interval.high],
        "bootstrap_method": interval.method,
    }
