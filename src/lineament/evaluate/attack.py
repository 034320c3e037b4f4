"""Presentation attack detection: the section of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineament.metrics.attack import STANDARD_TARGETS, Pad, PadPoint, Presentations, bpcer_at_apcer, pad
from lineament.metrics.intervals import reliable, rule_of_three


@dataclass(frozen=True, slots=True)
class Attack:
    """How attacks and people were told apart.

    Attributes:
        deployed: both errors at the threshold that was given.
        points: BPCER where no species passes more often than 10, 5 and 1 %.
    """

    deployed: Pad
    points: tuple[PadPoint, ...]

    def results(self) -> dict[str, Any]:
        """Section `attack` of a run."""
        at = self.deployed
        return {
            "threshold": at.threshold,
            "apcer": {rate.name: rate.rate for rate in at.species},
            "apcer_worst": at.apcer,
            "apcer_worst_species": at.worst.name,
            "apcer_worst_interval": _ends(at.worst),
            "bpcer": at.bpcer,
            "bpcer_interval": _ends(at.bona_fide),
            "acer": at.acer,
            "bpcer_at_apcer": {f"{point.target:g}": point.pad.bpcer for point in self.points},
            "points": [_point(point) for point in self.points],
            "counts": {rate.name: _count(rate) for rate in (*at.species, at.bona_fide)},
            "interval_method": "Wilson 95 %, presentations counted as independent",
        }

    def curves(self) -> dict[str, Any]:
        """None: species differ too much for one curve."""
        return {}

    def notes(self) -> list[str]:
        """Sentences for the reader."""
        said = [
            "APCER is that of the worst species of attack; species that were not tried may pass more often.",
            "Thresholds of BPCER at a given APCER were chosen on these very presentations.",
        ]
        said += [
            f"No {rate.name} attack passed among {rate.trials}: its APCER may still be up to "
            f"{rule_of_three(rate.trials):.2g} (rule of three)."
            for rate in self.deployed.species
            if not rate.errors
        ]
        return said


def attack(
    score: np.ndarray,
    species: Sequence[str] | np.ndarray,
    threshold: float,
    targets: Sequence[float] = STANDARD_TARGETS,
) -> Attack:
    """Errors at a threshold and at the standard's operating points.

    Args:
        score: (n,) larger is more surely bona fide.
        species: (n,) name of the attack; "" or "bona_fide" for people.
        threshold: bona fide at or above.
        targets: largest APCER of any species.

    Raises:
        ScoresInvalid: lengths differ, a score is NaN, or people or attacks are missing.
        InvalidArgument: a target outside 0..1.
    """
    return Attack(pad(score, species, threshold), bpcer_at_apcer(score, species, targets))


def _ends(rate: Presentations) -> list[float]:
    return [rate.interval.low, rate.interval.high]


def _count(rate: Presentations) -> dict[str, Any]:
    return {
        "errors": rate.errors,
        "trials": rate.trials,
        "rate": rate.rate,
        "interval": _ends(rate),
        "sufficient": reliable(rate.errors),
    }


def _point(point: PadPoint) -> dict[str, Any]:
    at = point.pad
    return {
        "name": point.name,
        "target": point.target,
        "bpcer": at.bpcer,
        "bpcer_interval": _ends(at.bona_fide),
        "apcer_worst": at.apcer,
        "apcer_worst_species": at.worst.name,
        "threshold": at.threshold,
        "status": point.status,
        "reliable": point.reliable,
    }
