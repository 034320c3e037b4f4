"""A few people among very many strangers, as in MegaFace: probes, and a gallery of distractors.

Identification: for every ordered pair of two pictures of one person, one searches for the other among it and
all distractors; the other pictures of the person are not in the gallery. Verification: all pairs of one
person against every probe with every distractor, where a million distractors allow rates as low as 1e-6.
(Kemelmacher-Shlizerman et al., "The MegaFace Benchmark", CVPR 2016.)

Pictures known to be mislabelled are left out, of probes as of distractors. The script that is commonly used
does otherwise with probes: it replaces the template of a mislabelled probe by the sum of its class, which is
a nearly perfect mate and raises the result. That number is computed beside on request, as `legacy`, for
comparison only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from lineament.core.errors import InvalidArgument
from lineament.evaluate.among import Among, Progress, compare
from lineament.evaluate.points import comparison_point, rate_interval
from lineament.evaluate.rows import flags, labels
from lineament.evaluate.sweep import drawn_ranks
from lineament.metrics.bootstrap import draws
from lineament.metrics.operating import OperatingPoint, at_fmr
from lineament.metrics.scores import FailurePolicy

TARGETS = (1e-6,)
RANKS = (1, 10, 100)
SEED = 20251125
NOISE = 1e-3
"""Largest change of a number when the legacy treatment replaces a template."""


@dataclass(frozen=True, slots=True, eq=False)
class Distractors:
    """Result of the protocol.

    Attributes:
        among: the searches.
        ranks: whose rates are reported.
        points: verification at the rates asked for.
        intervals: (len(ranks), 2) bootstrap intervals of the rank rates over people, or None.
        replicates, seed: of the bootstrap.
        legacy: the same with mislabelled probes replaced instead of left out; None when not asked for.
    """

    among: Among
    ranks: tuple[int, ...]
    points: tuple[OperatingPoint, ...]
    intervals: Float[np.ndarray, "k 2"] | None = None
    replicates: int = 0
    seed: int = SEED
    legacy: "Distractors | None" = None

    def results(self) -> dict[str, Any]:
        """Sections `identification` and `verification` of a run."""
        among = self.among
        identification: dict[str, Any] = {
            "gallery": among.distractors + 1,
            "distractors": among.distractors,
            "distractors_failed": among.distractors_failed,
            "probes_failed": among.probes_failed,
            "excluded_probes": among.excluded_probes,
            "excluded_distractors": among.excluded_distractors,
            "points": [],
            "rank_rates": [self._row(i) for i in range(len(self.ranks))],
        }
        verification: dict[str, Any] = {"points": [comparison_point(point) for point in self.points]}
        if self.legacy is not None:
            legacy = self.legacy.results()
            identification["legacy"] = {"rank_rates": legacy["identification"]["rank_rates"]}
            verification["legacy"] = legacy["verification"]
        return {"identification": identification, "verification": verification}

    def curves(self) -> dict[str, Any]:
        """Column `cmc`, as far as every distractor."""
        ranks = drawn_ranks(self.among.distractors + 1)
        ordered = np.sort(self.among.rank)
        return {
            "cmc": {
                "rank": ranks,
                "rate": np.searchsorted(ordered, ranks, side="right") / len(self.among.pairs),
            }
        }

    def notes(self) -> list[str]:
        """Sentences for the reader."""
        among = self.among
        said = [
            f"{among.excluded_probes} mislabelled probes and {among.excluded_distractors} distractors "
            "were left out; pairs are of few people and far from independent."
        ]
        if self.legacy is not None:
            said.append(
                "The figures under `legacy` replace mislabelled probes by the sum of their class, as is "
                "commonly done. That raises them; they are for comparison with published figures only."
            )
        return said

    def _row(self, i: int) -> dict[str, Any]:
        among, rank = self.among, self.ranks[i]
        hits = int((among.rank <= rank).sum())
        row: dict[str, Any] = {
            "rank": rank,
            "rate": among.rate(rank),
            "interval": rate_interval(hits, len(among.pairs)),
            "interval_method": "Wilson 95 %, pairs counted as independent",
            "hits": hits,
            "mated": len(among.pairs),
        }
        if self.intervals is not None:
            row["interval"] = [float(self.intervals[i, 0]), float(self.intervals[i, 1])]
            row["interval_method"] = f"bootstrap over people, {self.replicates} draws, seed {self.seed}, 95 %"
        return row


def among_distractors(
    probes: np.ndarray,
    subject: np.ndarray,
    distractors: np.ndarray,
    *,
    noisy_probes: np.ndarray | None = None,
    noisy_distractors: np.ndarray | None = None,
    targets: Sequence[float] = TARGETS,
    ranks: Sequence[int] = RANKS,
    replicates: int = 0,
    seed: int = SEED,
    policy: FailurePolicy = "reject",
    legacy: bool = False,
    progress: Progress | None = None,
) -> Distractors:
    """Run the protocol.

    Args:
        probes: (p, d) unit templates; NaN rows are failures.
        subject: (p,) person numbers; people with one picture have no pair, but meet distractors.
        distractors: (n, d), an array or a memory map; no person of the probes may be among them.
        noisy_probes: (p,) bool, mislabelled ones to leave out.
        noisy_distractors: (n,) bool, likewise.
        targets: false match rates of verification.
        ranks: whose rates are reported.
        replicates: draws of people for bootstrap intervals of the rank rates; 0 for Wilson's.
        seed: of the draws, and of the noise of the legacy treatment.
        policy: what pairs with a failed template count as.
        legacy: also compute what replacing mislabelled probes would give.
        progress: told how far it is.

    Raises:
        ScoresInvalid: shapes differ, no distractor is left, or no person has two usable pictures.
        TemplateInvalid: a row is not of unit length.
    """
    who = labels(subject, len(probes), "persons of probes")
    bad = np.zeros(len(probes), bool) if noisy_probes is None else flags(noisy_probes, len(probes), "probes")
    out = (
        np.zeros(len(distractors), bool)
        if noisy_distractors is None
        else flags(noisy_distractors, len(distractors), "distractors")
    )
    among = compare(probes, who, distractors, ~bad, ~out, max(targets, default=0.0), policy, progress)
    other = None
    if legacy:
        replaced, kept = replace_noisy(probes, who, bad, seed)
        beside = compare(replaced, who, distractors, kept, ~out, max(targets, default=0.0), policy, None)
        other = _summary(beside, targets, ranks, replicates, seed, None)
    return _summary(among, targets, ranks, replicates, seed, other)


def replace_noisy(
    probes: np.ndarray, subject: np.ndarray, noisy: np.ndarray, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """What insightface's `remove_noises.py` does with mislabelled probes: not to be done for a result.

    Args:
        probes: (p, d) unit templates.
        subject: (p,) person numbers.
        noisy: (p,) bool.
        seed: of the noise.

    Returns:
        (p, d) templates, each mislabelled one replaced by the sum of its person's others plus noise in
        ±`NOISE`, scaled to unit length; and (p,) which can be used: a person without any other has none.
    """
    generator = np.random.default_rng(seed)
    replaced = np.array(probes, dtype=np.float32)
    usable = np.ones(len(probes), bool)
    good = ~noisy & ~np.isnan(replaced).any(axis=1)
    for row in np.flatnonzero(noisy):
        others = replaced[good & (subject == subject[row])]
        centre = others.sum(axis=0, dtype=np.float64) + generator.uniform(-NOISE, NOISE, replaced.shape[1])
        replaced[row] = centre / np.linalg.norm(centre)
        usable[row] = len(others) > 0
    return replaced, usable


def _summary(
    among: Among,
    targets: Sequence[float],
    ranks: Sequence[int],
    replicates: int,
    seed: int,
    legacy: Distractors | None,
) -> Distractors:
    if any(rank < 1 for rank in ranks):
        raise InvalidArgument(f"a rank is 1 or more: {list(ranks)}")
    points = tuple(at_fmr(among.scores, target) for target in targets)
    intervals = _redrawn(among, ranks, replicates, seed) if replicates else None
    return Distractors(among, tuple(ranks), points, intervals, replicates, seed, legacy)


def _redrawn(among: Among, ranks: Sequence[int], replicates: int, seed: int) -> np.ndarray:
    """(k, 2) ends of 95 % intervals of the rank rates: all pairs of a person are drawn together."""
    people, of = np.unique(among.subject, return_inverse=True)
    trials = np.bincount(of, minlength=len(people)).astype(np.float64)
    within = of[: len(among.rank)]
    hits = np.stack([np.bincount(within[among.rank <= r], minlength=len(people)) for r in ranks])
    rates = np.array([(hits @ c) / (trials @ c) for c in draws(len(people), replicates, seed)])
    return np.quantile(rates, (0.025, 0.975), axis=0).T
