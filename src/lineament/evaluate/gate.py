"""Demands on a run: `tar@1e-4>=0.95` holds when the pessimistic end of the interval says so."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from lineament.core.errors import EvidenceInsufficient, GateFailed, InvalidArgument
from lineament.evaluate.run import Run

_PATTERN = re.compile(r"\s*([a-z_0-9]+)\s*(?:@\s*([0-9.eE+-]+))?\s*(>=|<=)\s*([0-9.eE+-]+)\s*")
RATES = ("tar", "fnmr", "fmr", "fnir", "fpir")
WHOLES = ("accuracy", "apcer", "bpcer")


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand.

    Attributes:
        text: as it was written.
        metric: `tar`, `fnmr`, `fmr` at a false match rate; `fnir`, `fpir` at a false positive identification
            rate; `rank` at a rank; `accuracy`; `apcer`, `bpcer`.
        at: the operating point, or None.
        least: True for `>=`, False for `<=`.
        bound: the number demanded.
    """

    text: str
    metric: str
    at: float | None
    least: bool
    bound: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a demand.

    Attributes:
        demand: which.
        value: as measured.
        end: the pessimistic end of its 95 % interval, which decides.
        held: whether the demand holds.
    """

    demand: Demand
    value: float
    end: float
    held: bool


def parse(text: str) -> Demand:
    """Read a demand.

    Raises:
        InvalidArgument: it cannot be read, or asks for a metric without an interval.
    """
    match = _PATTERN.fullmatch(text)
    known = ", ".join((*(f"{r}@RATE" for r in RATES), "rank@K", *WHOLES))
    if match is None:
        raise InvalidArgument(
            f"cannot read the gate {text!r}: write for example tar@1e-4>=0.95 (metrics: {known})"
        )
    metric, at, sign, bound = match.groups()
    try:
        demand = Demand(text, metric, None if at is None else float(at), sign == ">=", float(bound))
    except ValueError as error:
        raise InvalidArgument(f"cannot read the gate {text!r}: {error}") from error
    needs_at = metric in (*RATES, "rank")
    if metric not in (*RATES, "rank", *WHOLES) or needs_at != (demand.at is not None):
        raise InvalidArgument(f"no gate is called {text!r}: the metrics are {known}")
    return demand


def judge(run: Run, demands: Sequence[str]) -> list[Outcome]:
    """Hold a run to demands.

    Args:
        run: a finished run.
        demands: as `parse` reads them.

    Returns:
        One outcome per demand, held or not.

    Raises:
        InvalidArgument: the run has no such number.
        EvidenceInsufficient: it has, and too little data to claim anything there.
    """
    return [_judge(run, parse(text)) for text in demands]


def require(outcomes: Sequence[Outcome]) -> None:
    """Refuse a run that does not hold what was demanded.

    Raises:
        GateFailed: naming every demand that does not hold.
    """
    failed = [o for o in outcomes if not o.held]
    if failed:
        said = "; ".join(
            f"{o.demand.text}: measured {o.value:.6g}, and {o.end:.6g} at the pessimistic end of its interval"
            for o in failed
        )
        raise GateFailed(f"the gate did not hold: {said}")


def _judge(run: Run, demand: Demand) -> Outcome:
    value, interval = _find(run, demand)
    if interval is None:
        raise EvidenceInsufficient(f"the gate {demand.text} needs an interval, and the run has none there")
    end = float(interval[0] if demand.least else interval[1])
    return Outcome(demand, value, end, end >= demand.bound if demand.least else end <= demand.bound)


def _find(run: Run, demand: Demand) -> tuple[float, list[float] | None]:
    results = run.results
    if demand.metric == "accuracy" and "accuracy" in results:
        section = results["accuracy"]
        return float(section["mean"]), section.get("interval")
    if demand.metric in ("apcer", "bpcer") and "attack" in results:
        section = results["attack"]
        key = "apcer_worst" if demand.metric == "apcer" else "bpcer"
        return float(section[key]), section.get(f"{key}_interval")
    if demand.metric == "rank":
        rows = _section(results, "identification").get("rank_rates", ())
        row = next((r for r in rows if r["rank"] == demand.at), None)
        if row is not None:
            return float(row["rate"]), row.get("interval")
    if demand.metric in RATES:
        section = "verification" if demand.metric in ("tar", "fnmr", "fmr") else "identification"
        row = next(
            (p for p in _section(results, section).get("points", ()) if p["target"] == demand.at), None
        )
        if row is not None:
            if row["status"] != "ok":
                raise EvidenceInsufficient(
                    f"the gate {demand.text} cannot be judged: {run.data.nonmated:,} non-mated comparisons "
                    f"are too few to measure a rate of {demand.at:g}"
                )
            return float(row[demand.metric]), row.get(f"{demand.metric}_interval")
    raise InvalidArgument(
        f"the run has no number for the gate {demand.text}: evaluate with that operating point (--at), or "
        "ask for one it has"
    )


def _section(results: dict[str, Any], name: str) -> dict[str, Any]:
    return cast(dict[str, Any], results.get(name) or {})
