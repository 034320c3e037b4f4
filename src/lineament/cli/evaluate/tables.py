"""A run on the terminal: a sentence, small tables, and the notes that belong beside the numbers."""

from collections.abc import Sequence
from typing import Any

from lineament.evaluate.run import Run


def show(run: Run) -> None:
    """Print what a person looks for first."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    console.print(_title(run), style="bold", markup=False)
    for line in _facts(run):
        console.print(line, markup=False)
    results = run.results
    if results.get("accuracy"):
        console.print(_accuracy(results["accuracy"]), markup=False)
    if results.get("verification"):
        _verification(console, results["verification"])
    if results.get("identification"):
        _identification(console, results["identification"])
    if results.get("groups"):
        _groups(console, results["groups"])
    if results.get("attack"):
        _attack(console, results["attack"])
    for note in run.notes:
        console.print(f"note: {note}", style="dim", markup=False)


def percent(rate: float | int | None) -> str:
    """A rate as people read it: 0.0038 → 0.38 %."""
    if rate is None:
        return "–"
    value = 100 * rate
    digits = 2 if value >= 0.1 or value == 0 else 4
    return f"{value:.{digits}f} %"


def span(interval: Sequence[float] | None) -> str:
    """An interval of a rate."""
    return "–" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def _title(run: Run) -> str:
    who = f", {run.system.model}" if run.system.model else ""
    return f"{run.data.name}{who}"


def _facts(run: Run) -> list[str]:
    data = run.data
    people = f" of {data.subjects:,} people" if data.subjects else ""
    samples = f"{data.samples:,} samples{people}; " if data.samples else ""
    if run.kind == "pad":
        return [f"{data.mated:,} presentations of people and {data.nonmated:,} attacks"]
    what = "searches" if run.kind == "openset" else "comparisons"
    lines = [f"{samples}{data.mated:,} mated and {data.nonmated:,} non-mated {what}"]
    if run.system.detector:
        views = "one view" if run.system.views == "none" else f"mirrored, {run.system.views}"
        lines.append(
            f"detector {run.system.detector}, {views}"
            + (f", face {run.system.policy}" if run.system.policy else "")
        )
    failed = sum(data.failures.values())
    named = ", ".join(f"{reason} {count}" for reason, count in data.failures.items())
    counted = "rejected" if data.failure_policy == "reject" else "left out"
    lost = data.mated_failed + data.nonmated_failed
    lines.append(
        f"failures to acquire: {failed}" + (f" ({named}); {lost:,} comparisons {counted}" if failed else "")
    )
    if data.exclusions:
        lines.append(f"left out on purpose: {len(data.exclusions)}")
    return lines


def _accuracy(section: dict[str, Any]) -> str:
    if section["mode"] == "insightface":
        return (
            f"accuracy as insightface computes it: {section['mean']:.5f} ± {section['spread']:.5f} "
            "(standard deviation over folds, ddof 0)"
        )
    low, high = section["interval"]
    return (
        f"accuracy {percent(section['mean'])} ± {percent(section['standard_error'])} (standard error over "
        f"{len(section['folds'])} folds); Wilson 95 % {percent(low)} to {percent(high)}"
    )


def _verification(console: Any, section: dict[str, Any]) -> None:
    table = _table("FMR wanted", "threshold", "false matches", "FMR reached", "FNMR", "FNMR 95 %", "")
    rows = [(f"{p['target']:g}", p) for p in section["points"]]
    if section.get("deployed"):
        rows.append(("deployed", section["deployed"]))
    for name, point in rows:
        table.add_row(
            name,
            "–" if point["threshold"] is None else f"{point['threshold']:.4f}",
            _out_of(point["false_matches"], point["nonmated"]),
            f"{point['fmr']:.3g}",
            percent(point["fnmr"]),
            span(point["fnmr_interval"]),
            _mark(point),
        )
    console.print(table)
    eer = section.get("eer")
    if eer is None:
        return
    console.print(
        f"EER {percent(eer['value'])} ({eer['method']}), AUC {section['auc']:.6f}, "
        f"d′ {_number(section['d_prime']['value'])}",
        markup=False,
    )
    console.print(f"intervals: {section['interval_method']}", style="dim", markup=False)


def _identification(console: Any, section: dict[str, Any]) -> None:
    table = _table(
        "FPIR wanted", "within rank", "threshold", "false positives", "FPIR reached", "FNIR", "FNIR 95 %", ""
    )
    for point in section.get("points", ()):
        table.add_row(
            f"{point['target']:g}",
            "any" if point["rank"] is None else str(point["rank"]),
            "–" if point["threshold"] is None else f"{point['threshold']:.4f}",
            _out_of(point["false_positives"], point["nonmated"]),
            f"{point['fpir']:.3g}",
            percent(point["fnir"]),
            span(point.get("fnir_interval")),
            _mark(point),
        )
    if section.get("points"):
        console.print(table)
    ranks = ", ".join(f"rank {r['rank']}: {percent(r['rate'])}" for r in section.get("rank_rates", ()))
    size = section["gallery"]
    gallery = "galleries of different sizes" if size is None else f"gallery of {size:,}"
    console.print(f"{gallery}; {ranks}", markup=False)
    for name, value in (section.get("mean_sd") or {}).items():
        console.print(
            f"{name}: {percent(value['mean'])} ± {percent(value['sd'])} (sd over splits)", markup=False
        )


def _groups(console: Any, section: dict[str, Any]) -> None:
    console.print(f"one threshold for everybody: {section['threshold']:.4f}", markup=False)
    table = _table("group", "FMR", "95 %", "FNMR", "95 %", "")
    for name, fmr, fnmr, counts in zip(
        section["names"], section["fmr"], section["fnmr"], section["counts"], strict=True
    ):
        table.add_row(
            name,
            "–" if fmr is None else f"{fmr:.3g}",
            _short(counts.get("fmr_interval")),
            percent(fnmr),
            span(counts.get("fnmr_interval")),
            "" if counts["sufficient"] else "too few errors to say",
        )
    console.print(table)
    for name, value in section["measures"].items():
        console.print(f"{name}: {'undefined' if value is None else f'{value:.4g}'}", markup=False)


def _attack(console: Any, section: dict[str, Any]) -> None:
    table = _table("kind of attack", "APCER")
    for species, rate in section["apcer"].items():
        table.add_row(species, percent(rate))
    console.print(table)
    console.print(
        f"worst APCER {percent(section['apcer_worst'])}, BPCER {percent(section['bpcer'])} at threshold "
        f"{section['threshold']:.4g}",
        markup=False,
    )


def _out_of(errors: float | int, trials: float | int) -> str:
    """Counts; means over splits need not be whole."""
    return f"{errors:,.10g} of {trials:,.10g}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _short(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.2g} to {interval[1]:.2g}"


def _mark(point: dict[str, Any]) -> str:
    if point["status"] == "insufficient":
        return "too little data"
    return "" if point["reliable"] else "under 30 errors"


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i in (0, len(columns) - 1) else "right", overflow="fold")
    return table
