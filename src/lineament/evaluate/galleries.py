"""The same kind of search in several galleries: each by itself, and the rates averaged.

One gallery made of all of them would be another experiment: probes that are non-mated become mated, there is
nothing left to measure false positives with, and every search is harder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.openset import SEED, OpenSet, with_bootstrap
from lineament.evaluate.points import rate_interval, search_point
from lineament.evaluate.redraw import Asked, redraw
from lineament.evaluate.sweep import RankRate, Sweep, cmc_at, drawn_ranks, mean_curve
from lineament.metrics.identification import SearchPoint
from lineament.metrics.intervals import Interval

HULL = "from the lowest to the highest end of the galleries' own Wilson 95 % intervals"


@dataclass(frozen=True, slots=True, eq=False)
class OpenSets:
    """The same kind of search in several galleries, each by itself.

    Attributes:
        parts: by name of gallery or split.
        intervals: bootstrap intervals of the mean FNIR by (target, rank), when asked for.
    """

    parts: Mapping[str, OpenSet]
    intervals: Mapping[Asked, Interval] | None = None

    def results(self) -> dict[str, Any]:
        """Section `identification`: means over the galleries, and each gallery under `splits`."""
        parts = list(self.parts.values())
        sizes = [part.found.subjects for part in parts]
        count = len(parts[0].points)
        points = [_mean_point([part.points[i] for part in parts]) for i in range(count)]
        return {
            "gallery": sizes[0] if len(set(sizes)) == 1 else None,
            "galleries": sizes,
            "points": [with_bootstrap(point, self.intervals) for point in points],
            "rank_rates": [
                _mean_rank([part.rank_rates[i] for part in parts]) for i in range(len(parts[0].rank_rates))
            ],
            "splits": [{"name": name, **part.results()} for name, part in self.parts.items()],
            "interval_method": HULL,
        }

    def curves(self) -> dict[str, Any]:
        """Means over the galleries: `cmc` by rank, and `fnir_fpir` by false positive identification rate."""
        parts = [part.found.searches for part in self.parts.values()]
        ranks = drawn_ranks(min(part.gallery for part in parts))
        columns: dict[str, Any] = {
            "cmc": {"rank": ranks, "rate": np.mean([cmc_at(part, ranks) for part in parts], axis=0)}
        }
        sweeps = [Sweep.of(part) for part in parts]
        if all(sweep.nonmated for sweep in sweeps):
            columns["fnir_fpir"] = mean_curve(sweeps)
        return columns

    def notes(self) -> list[str]:
        """Sentences for the reader."""
        said = [
            f"{len(self.parts)} galleries were searched one by one and the rates averaged; each "
            "gallery has thresholds of its own."
        ]
        for name, part in self.parts.items():
            # What single comparisons predict stands in each gallery's own section.
            said += [f"{name}: {note}" for note in OpenSet(part.found, (), ()).notes()]
        return said


def several(parts: Mapping[str, OpenSet], replicates: int = 0, seed: int = SEED) -> OpenSets:
    """Several galleries together, searched with the same targets and ranks.

    Raises:
        ScoresInvalid: there is none, or they were summarised at different operating points.
    """
    kinds = {
        (tuple((p.target, p.rank) for p in part.points), tuple(r.rank for r in part.rank_rates))
        for part in parts.values()
    }
    if len(kinds) != 1:
        raise ScoresInvalid(
            f"{len(parts)} galleries with {len(kinds)} lists of operating points cannot be averaged: "
            "evaluate all of them at the same ones"
        )
    asked = list(next(iter(kinds))[0])
    found = [part.found for part in parts.values()]
    return OpenSets(dict(parts), redraw(found, asked, replicates, seed) if replicates and asked else None)


def _mean_point(points: Sequence[SearchPoint]) -> dict[str, Any]:
    """Means of the rates, sums of the counts; a threshold belongs to one gallery and has no mean."""
    rows = [search_point(point) for point in points]
    row: dict[str, Any] = {key: rows[0][key] for key in ("target", "rank")}
    for key in ("allowed", "false_positives", "nonmated", "misses", "mated"):
        row[key] = sum(r[key] for r in rows)
    for key in ("fpir", "fnir"):
        values = np.array([r[key] for r in rows])
        row[key] = float(values.mean())
        row[f"{key}_sd"] = _sd(values)
        row[f"{key}_interval"] = hull([r[f"{key}_interval"] for r in rows])
    worst = "ok" if all(r["status"] == "ok" for r in rows) else "insufficient"
    return {
        **row,
        "bar": None,
        "threshold": None,
        "status": worst,
        "reliable": all(r["reliable"] for r in rows),
        "interval_method": HULL,
    }


def _mean_rank(rates: Sequence[RankRate]) -> dict[str, Any]:
    values = np.array([rate.rate for rate in rates])
    return {
        "rank": rates[0].rank,
        "rate": float(values.mean()),
        "sd": _sd(values),
        "interval": hull([rate_interval(rate.hits, rate.mated) for rate in rates]),
    }


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def hull(intervals: Sequence[list[float] | None]) -> list[float] | None:
    """From the lowest to the highest end; None when one has no interval."""
    known = [interval for interval in intervals if interval is not None]
    if not known or len(known) < len(intervals):
        return None
    return [min(low for low, _ in known), max(high for _, high in known)]
