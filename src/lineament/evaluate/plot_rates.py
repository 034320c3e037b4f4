"""Figures of one-to-one comparisons: DET, ROC, error rates by threshold, similarities."""

from typing import TYPE_CHECKING

import numpy as np

from lineament.evaluate.plot_parts import (
    EVIDENCE,
    axis_start,
    count_ticks,
    evidence_legend,
    grey_note,
    label,
    line,
    log_rate_axis,
    points,
    probit_axis,
    seen,
    share_axis,
    sure,
    unseen_area,
)
from lineament.evaluate.plot_style import PALETTE, Plot
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_words import FEW, count, percent, round_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def det(view: View) -> Plot | None:
    """False non-match rate against false match rate, both on probit scales."""
    curve = _error_curve(view)
    if curve is None:
        return None
    fmr, fnmr, certain, trials = curve
    marks = _marks(view)

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        line(axes, fmr, fnmr, certain, "mated")
        _draw_marks(axes, marks, tar=False)
        probit_axis(axes, "x", axis_start(fmr), max(0.5, _ceiling(fmr, 0.5)))
        probit_axis(axes, "y", axis_start(fnmr), max(0.5, _ceiling(fnmr, 0.5)))
        unseen_area(axes, trials)
        axes.set_xlabel("false match rate (FMR), probit scale")
        axes.set_ylabel("false non-match rate (FNMR), probit scale")
        evidence_legend(axes, "upper right", "mated")

    caption = f"Nearer to the lower left corner is better. {EVIDENCE}{grey_note(fmr, trials)}"
    alt = f"DET curve: false non-match rate against false match rate. {_told(marks)}"
    return Plot("det", "Detection error trade-off", alt, caption, draw, (5.0, 4.3))


def roc(view: View) -> Plot | None:
    """True match rate against false match rate on a logarithmic scale."""
    columns = view.curve("roc", "fmr", "fnmr")
    if columns is None:
        return None
    trials, mated = view.trials("verification")
    fmr, fnmr = (column[seen(columns[0], trials)] for column in columns)
    if not len(fmr):
        return None
    certain = sure(fmr, trials) & sure(fnmr, mated)
    marks = _marks(view)

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        line(axes, fmr, 1 - fnmr, certain, "mated")
        _draw_marks(axes, marks, tar=True)
        log_rate_axis(axes, "x", axis_start(fmr))
        share_axis(axes, 1 - float(np.nanmax(fnmr)))
        unseen_area(axes, trials)
        axes.set_xlabel("false match rate (FMR)")
        axes.set_ylabel("true match rate (1 − FNMR)")
        evidence_legend(axes, "lower right", "mated")

    caption = f"The vertical axis begins where the curve does. {EVIDENCE}{grey_note(fmr, trials)}"
    alt = f"ROC curve: true match rate against false match rate. {_told(marks)}"
    return Plot("roc", "Receiver operating characteristic", alt, caption, draw)


def by_threshold(view: View) -> Plot | None:
    """Both error rates against the threshold."""
    columns = view.curve("roc", "threshold", "fmr", "fnmr")
    if columns is None:
        return None
    threshold, fmr, fnmr = columns
    nonmated, mated = view.trials("verification")
    rates = (("nonmated", "FMR", fmr, nonmated), ("mated", "FNMR", fnmr, mated))
    drawn = [(role, name, r, n) for role, name, r, n in rates if (seen(r, n) & np.isfinite(threshold)).any()]
    if not drawn:
        return None

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        lows: list[float] = []
        for role, name, rate, trials in drawn:
            keep = seen(rate, trials) & np.isfinite(threshold)
            x, y = threshold[keep], rate[keep]
            line(axes, x, y, sure(y, trials), role)
            lows.append(axis_start(y))
            # Where both curves are high, the room between them is free.
            at = int(np.argmin(np.abs(np.log(y) - np.log(0.6 if role == "nonmated" else 0.3))))
            label(axes, name, (x[at], y[at]), (6, 0) if role == "nonmated" else (-6, 0), role)
        log_rate_axis(axes, "y", min(lows))
        axes.set_xlabel(f"threshold ({_unit(view)})")
        axes.set_ylabel("error rate")
        _thresholds(axes, view)
        evidence_legend(axes, "lower right", marks=False)

    caption = f"A comparison is accepted when its similarity reaches the threshold. {EVIDENCE}"
    alt = "False match rate, falling, and false non-match rate, rising, against the threshold."
    return Plot("rates-by-threshold", "Error rates by threshold", alt, caption + _lines(view), draw)


def histogram(view: View) -> Plot | None:
    """How often each similarity occurred, mated and non-mated."""
    columns = view.curve("histogram", "mated", "nonmated")
    block = view.curves.block("histogram")
    if columns is None or block is None:
        return None
    low, high = block.number("low"), block.number("high")
    if low is None or high is None or not high > low or not max(c.max() for c in columns) >= 1:
        return None
    edges = np.linspace(low, high, len(columns[0]) + 1)

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        named = (("nonmated", "non-mated", columns[1]), ("mated", "mated", columns[0]))
        for role, name, counts in named:
            shown = np.where(counts >= 1, counts, np.nan)
            # The fill ends at one comparison: a logarithmic axis has no zero.
            axes.stairs(
                np.nan_to_num(shown, nan=0.5), edges, baseline=0.5, fill=True, alpha=0.16, color=PALETTE[role]
            )
            axes.stairs(
                np.nan_to_num(shown, nan=0.5), edges, baseline=None, color=PALETTE[role], linewidth=1.3
            )
            peak = int(np.nanargmax(shown)) if np.isfinite(shown).any() else None
            if peak is not None:
                label(axes, name, ((edges[peak] + edges[peak + 1]) / 2, counts[peak]), (0, 4), role, "center")
        axes.set_yscale("log")
        top = float(max(c.max() for c in columns))
        _count_axis(axes, top)
        some = np.flatnonzero((columns[0] >= 1) | (columns[1] >= 1))
        axes.set_xlim(edges[max(0, some[0] - 1)], edges[min(len(edges) - 1, some[-1] + 2)])
        axes.set_xlabel(f"similarity ({_unit(view)})")
        axes.set_ylabel(f"comparisons per bin of {(high - low) / len(columns[0]):.2g}")
        _thresholds(axes, view)

    caption = "Counts on a logarithmic scale; a bin without a comparison is empty." + _lines(view)
    alt = (
        f"Histogram of the similarities of {count(round(float(columns[0].sum())))} mated and "
        f"{count(round(float(columns[1].sum())))} non-mated comparisons."
    )
    return Plot("histogram", "Similarities", alt, caption, draw)


def threshold_lines(view: View) -> list[tuple[float, str]]:
    """Thresholds to mark, with a name each: the deployed one, and those of sufficient operating points."""
    block = view.results.block("verification")
    if block is None:
        return []
    deployed = block.block("deployed")
    found = [] if deployed is None else [(deployed, "deployed")]
    for point in block.blocks("points"):
        target = point.number("target")
        if point.text("status") == "ok" and target is not None:
            found.append((point, f"FMR {round_percent(target)}"))
    pairs = [(point.number("threshold"), name) for point, name in found]
    return [(value, name) for value, name in pairs if value is not None]


def _error_curve(view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray, int | None] | None:
    columns = view.curve("roc", "fmr", "fnmr")
    if columns is None:
        return None
    trials, mated = view.trials("verification")
    keep = seen(columns[0], trials) & seen(columns[1], mated)
    fmr, fnmr = (column[keep] for column in columns)
    return (fmr, fnmr, sure(fmr, trials) & sure(fnmr, mated), trials) if len(fmr) else None


def _marks(view: View) -> list[tuple[float, float, bool, bool]]:
    """Operating points with at least one error of each kind: FMR, FNMR, reliable, deployed."""
    block = view.results.block("verification")
    if block is None:
        return []
    deployed = block.block("deployed")
    rows = [(p, False) for p in block.blocks("points")] + ([] if deployed is None else [(deployed, True)])
    return [(*found, is_deployed) for p, is_deployed in rows if (found := _mark(p)) is not None]


def _mark(point: Fields) -> tuple[float, float, bool] | None:
    fmr, fnmr = point.number("fmr"), point.number("fnmr")
    false_matches, false_nonmatches = point.count("false_matches"), point.count("false_nonmatches")
    if fmr is None or fnmr is None or not false_matches or not false_nonmatches:
        return None
    return fmr, fnmr, min(false_matches, false_nonmatches) >= FEW


def _draw_marks(axes: "Axes", marks: list[tuple[float, float, bool, bool]], *, tar: bool) -> None:
    for fmr, fnmr, certain, deployed in marks:
        x, y = np.array([fmr]), np.array([1 - fnmr if tar else fnmr])
        points(axes, x, y, np.array([certain]), "ink" if deployed else "mated", "D" if deployed else "o")
        if deployed:
            label(axes, "deployed", (fmr, float(y[0])), (7, -9 if tar else 5), "ink", "left")


def _told(marks: list[tuple[float, float, bool, bool]]) -> str:
    told = [f"FNMR {percent(fnmr)} at FMR {percent(fmr)}" for fmr, fnmr, _, _ in marks]
    return f"{'; '.join(told)}." if told else ""


def _ceiling(rate: np.ndarray, usual: float) -> float:
    """Where a probit axis ends: usually at 50 %, higher when the whole curve would not be seen."""
    return 0.99 if np.nanmin(rate) > usual / 2 else usual


def _thresholds(axes: "Axes", view: View) -> None:
    """Thin vertical lines, named at the top unless the names would touch."""
    low, high = axes.get_xlim()
    taken: list[float] = []
    for value, name in threshold_lines(view):
        if not low <= value <= high:
            continue
        deployed = name == "deployed"
        axes.axvline(
            value, color=PALETTE["ink"], linewidth=1.2 if deployed else 0.7, linestyle=(0, (1, 1.6)), zorder=1
        )
        if all(abs(value - other) > 0.032 * (high - low) for other in taken):
            taken.append(value)
            axes.annotate(
                name,
                (value, 1),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=PALETTE["ink"],
                annotation_clip=False,
            )


def _lines(view: View) -> str:
    return " Dotted vertical lines are thresholds." if threshold_lines(view) else ""


def _unit(view: View) -> str:
    return view.system.text("score") or "similarity"


def _count_axis(axes: "Axes", top: float) -> None:
    tens = [10.0**k for k in range(int(np.ceil(np.log10(max(top, 10)))) + 1)]
    count_ticks(axes.yaxis, tens[:: max(1, len(tens) // 6)])
    axes.set_ylim(0.5, top * 3)
