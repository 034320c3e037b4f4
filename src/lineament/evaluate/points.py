"""Operating points as the plain values of a run."""

from dataclasses import asdict
from typing import Any

from lineament.metrics.identification import SearchPoint
from lineament.metrics.intervals import wilson
from lineament.metrics.operating import OperatingPoint

METHOD = "Wilson 95 %, trials counted as independent"


def rate_interval(errors: int, trials: int) -> list[float] | None:
    """Wilson's 95 % interval [low, high] of a rate; None without a trial."""
    if not trials:
        return None
    interval = wilson(errors, trials)
    return [interval.low, interval.high]


def search_point(point: SearchPoint) -> dict[str, Any]:
    """Fields of `identification.points` for one gallery."""
    return {
        **asdict(point),
        "fpir_interval": rate_interval(point.false_positives, point.nonmated),
        "fnir_interval": rate_interval(point.misses, point.mated),
        "interval_method": METHOD,
    }


def comparison_point(point: OperatingPoint) -> dict[str, Any]:
    """Fields of `verification.points`, with intervals that take comparisons as independent."""
    fmr = rate_interval(point.false_matches, point.nonmated)
    fnmr = rate_interval(point.false_nonmatches, point.mated)
    return {
        **asdict(point),
        "tar": point.tar,
        "fmr_interval": fmr,
        "fnmr_interval": fnmr,
        "tar_interval": None if fnmr is None else [1.0 - fnmr[1], 1.0 - fnmr[0]],
        "interval_method": METHOD,
    }
