"""Presentation attack detection: how many attacks pass, and how many people are turned away.

Attacks are judged species by species (printed photographs, screens, masks, …) and the worst species is the
result. Pooling them would let many easy prints hide a few masks that always pass.
Rates as in ISO/IEC 30107-3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.intervals import Interval, Rate, reliable, wilson
from lineament.metrics.operating import allowed, least_accepted

BONA_FIDE = "bona_fide"
STANDARD_TARGETS = (0.1, 0.05, 0.01)
"""APCER of BPCER10, BPCER20 and BPCER100."""


@dataclass(frozen=True, slots=True)
class Presentations:
    """Errors among the presentations of one species.

    Attributes:
        name: the species, or `bona_fide`.
        errors: attacks that were taken for bona fide; for `bona_fide`, people taken for attacks.
        trials: presentations.
        interval: Wilson, 95 %.
    """

    name: str
    errors: int
    trials: int
    interval: Interval

    @property
    def rate(self) -> float:
        """APCER of a species, BPCER of `bona_fide`."""
        return self.errors / self.trials


@dataclass(frozen=True, slots=True)
class Pad:
    """Both errors at a threshold.

    Attributes:
        threshold: a presentation is taken for bona fide when its score is at or above.
        species: attacks by species, in alphabetical order.
        worst: the species with the largest APCER; of several the one with the most presentations.
        bona_fide: people.
    """

    threshold: float
    species: tuple[Presentations, ...]
    worst: Presentations
    bona_fide: Presentations

    @property
    def apcer(self) -> float:
        """Attack presentation classification error rate, of the worst species."""
        return self.worst.rate

    @property
    def bpcer(self) -> float:
        """Bona fide presentation classification error rate."""
        return self.bona_fide.rate

    @property
    def acer(self) -> float:
        """Mean of both; no longer in the standard, kept because papers print it."""
        return (self.apcer + self.bpcer) / 2


@dataclass(frozen=True, slots=True)
class PadPoint:
    """BPCER where no species passes more often than a target.

    Attributes:
        target: largest APCER of any species, in (0, 1).
        bar: score that a presentation must exceed; None when everything is accepted.
        pad: both errors at the smallest threshold above the bar.
        status: `insufficient` when some species has fewer than 1/target presentations: not one of them may
            pass then, and only an upper bound of its APCER may be claimed.
        reliable: thirty attacks or more of the worst species passed (rule of 30).
    """

    target: float
    bar: float | None
    pad: Pad
    status: Literal["ok", "insufficient"]
    reliable: bool

    @property
    def name(self) -> str:
        """For example BPCER20 at an APCER of 5 %."""
        return f"BPCER{1 / self.target:g}"


def pad(score: np.ndarray, species: Sequence[str] | np.ndarray, threshold: float) -> Pad:
    """Errors of attack detection at a threshold.

    Args:
        score: (n,) larger is more surely bona fide.
        species: (n,) name of the attack; "" or "bona_fide" for people.
        threshold: bona fide at or above.

    Raises:
        ScoresInvalid: lengths differ, a score is NaN, or people or attacks are missing.
        InvalidArgument: the threshold is NaN.
    """
    if math.isnan(threshold):
        raise InvalidArgument("the threshold is not a number: give a score")
    people, attacks = _by_species(score, species)
    return _pad(people, attacks, threshold)


def bpcer_at_apcer(
    score: np.ndarray, species: Sequence[str] | np.ndarray, apcer: Sequence[Rate] = STANDARD_TARGETS
) -> tuple[PadPoint, ...]:
    """For each target the lowest threshold at which the APCER of every species is within it.

    Per species with N presentations, k = ⌊target · N⌋ in exact decimals may pass, so the bar is its (k+1)-th
    largest score; the highest of these bars holds for all.

    Raises:
        ScoresInvalid: lengths differ, a score is NaN, people or attacks are missing, or more attacks have
            the score +inf than a target allows.
        InvalidArgument: a target is not in (0, 1).
    """
    people, attacks = _by_species(score, species)
    return tuple(_at_apcer(people, attacks, target) for target in apcer)


def _at_apcer(people: np.ndarray, attacks: dict[str, np.ndarray], target: Rate) -> PadPoint:
    bars = [np.sort(of)[-1 - may] for of in attacks.values() if (may := allowed(target, len(of))) < len(of)]
    bar = max(bars) if bars else None
    if bar == math.inf:
        raise ScoresInvalid(
            f"more attacks have the score +inf than an APCER of {target} allows, and no threshold lies "
            "above: give finite scores, for example before they saturate"
        )
    threshold = -math.inf if bar is None else float(np.nextafter(bar, bar.dtype.type(np.inf)))
    result = _pad(people, attacks, threshold)
    starved = any(allowed(target, len(of)) == 0 for of in attacks.values())
    return PadPoint(
        target=float(target),
        bar=None if bar is None else float(bar),
        pad=result,
        status="insufficient" if starved else "ok",
        reliable=reliable(result.worst.errors),
    )


def _pad(people: np.ndarray, attacks: dict[str, np.ndarray], threshold: float) -> Pad:
    rates = tuple(_rate(name, _passes(attacks[name], threshold)) for name in sorted(attacks))
    return Pad(
        threshold=threshold,
        species=rates,
        worst=max(rates, key=lambda r: (r.rate, r.trials)),
        bona_fide=_rate(BONA_FIDE, ~_passes(people, threshold)),
    )


def _passes(score: np.ndarray, threshold: float) -> np.ndarray:
    return score >= least_accepted(threshold, score.dtype)


def _rate(name: str, wrong: np.ndarray) -> Presentations:
    errors, trials = int(np.count_nonzero(wrong)), len(wrong)
    return Presentations(name=name, errors=errors, trials=trials, interval=wilson(errors, trials))


def _by_species(
    score: np.ndarray, species: Sequence[str] | np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores of people, and of each species of attack."""
    score, names = np.asarray(score), np.asarray(species, dtype=np.str_)
    if score.ndim != 1 or names.shape != score.shape:
        raise ScoresInvalid(f"{names.shape} species for {score.shape} scores: give one for each presentation")
    if score.dtype.kind != "f":
        score = score.astype(np.float64)
    if np.isnan(score).any():
        raise ScoresInvalid(
            f"{int(np.isnan(score).sum())} scores are NaN: leave presentations without an answer out, and "
            "report how many beside the result (APNRR, BPNRR)"
        )
    names = np.where(names == "", BONA_FIDE, names)
    parts = {str(name): score[names == name] for name in np.unique(names)}
    people = parts.pop(BONA_FIDE, np.empty(0))
    if not len(people) or not parts:
        raise ScoresInvalid(
            f"there is no {'attack' if len(people) else 'bona fide presentation'}: both are needed"
        )
    return people, parts
