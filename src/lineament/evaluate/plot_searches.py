"""Figures of searches in a gallery, and of quality: CMC, search errors, error versus discard."""

from typing import TYPE_CHECKING

import numpy as np

from lineament.evaluate.plot_parts import (
    EVIDENCE,
    axis_start,
    count_ticks,
    even_ticks,
    evidence_legend,
    grey_note,
    line,
    log_rate_axis,
    percent_axis,
    points,
    seen,
    share_axis,
    sure,
    unseen_area,
)
from lineament.evaluate.plot_style import Plot
from lineament.evaluate.report_fields import View
from lineament.evaluate.report_words import FEW, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cmc(view: View) -> Plot | None:
    """Share of mated searches whose mate is among the first so many candidates."""
    columns = view.curve("cmc", "rank", "rate")
    if columns is None:
        return None
    rank, rate = columns
    certain = sure(1 - rate, view.trials("identification")[1])

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        line(axes, rank, rate, certain, "mated", steps=True)
        if len(rank) <= 30:
            points(axes, rank, rate, certain, "mated", size=4.5)
        if rank.max() > 12:
            axes.set_xscale("log")
            count_ticks(
                axes.xaxis, [f * 10.0**k for k in range(8) for f in (1, 2, 5) if f * 10**k <= rank.max()]
            )
        else:
            count_ticks(axes.xaxis, [float(r) for r in range(1, int(rank.max()) + 1)])
        share_axis(axes, float(rate.min()))
        axes.set_xlabel("rank")
        axes.set_ylabel("identification rate")
        evidence_legend(axes, "lower right", "mated", marks=len(rank) <= 30)

    caption = (
        f"Closed set: mated searches only, without a threshold. Dashed: fewer than {FEW} searches missed."
    )
    alt = f"CMC curve: at rank {rank[0]:.0f} the identification rate is {percent(float(rate[0]))}."
    return Plot("cmc", "Cumulative match characteristic", alt, caption, draw, (5.0, 3.6))


def search(view: View) -> Plot | None:
    """False negative against false positive identification rate."""
    columns = view.curve("fnir_fpir", "fpir", "fnir")
    if columns is None:
        return None
    nonmated, mated = view.trials("identification")
    keep = seen(columns[0], nonmated) & seen(columns[1], mated)
    fpir, fnir = (column[keep] for column in columns)
    if not len(fpir):
        return None
    marks = _search_marks(view)

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        line(axes, fpir, fnir, sure(fpir, nonmated) & sure(fnir, mated), "mated")
        for x, y, certain in marks:
            points(axes, np.array([x]), np.array([y]), np.array([certain]), "mated")
        log_rate_axis(axes, "x", axis_start(fpir))
        log_rate_axis(axes, "y", axis_start(fnir))
        unseen_area(axes, nonmated)
        axes.set_xlabel("false positive identification rate (FPIR)")
        axes.set_ylabel("false negative identification rate (FNIR)")
        evidence_legend(axes, "upper right", "mated")

    caption = f"Open set: a search returns what reaches the threshold. {EVIDENCE}{grey_note(fpir, nonmated)}"
    alt = "False negative identification rate against false positive identification rate, falling."
    return Plot("fnir-fpir", "Search errors", alt, caption, draw)


def discard(view: View) -> Plot | None:
    """False non-match rate when the comparisons of the lowest quality are left out."""
    columns = view.curve("edc", "discarded", "fnmr")
    if columns is None:
        return None
    mated = view.trials("verification")[1]
    keep = seen(columns[1], mated) & (columns[0] < 1)
    discarded, fnmr = (column[keep] for column in columns)
    if not len(fnmr):
        return None

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        left = fnmr * (1 - discarded)
        line(axes, discarded, fnmr, sure(left, mated), "mated", steps=True)
        right = max(0.05, float(discarded.max()))
        axes.set_xlim(0, right)
        percent_axis(axes.xaxis, even_ticks(right))
        top = float(fnmr.max()) * 1.1
        axes.set_ylim(0, top)
        percent_axis(axes.yaxis, even_ticks(top))
        axes.set_xlabel("comparisons discarded, lowest quality first")
        axes.set_ylabel("false non-match rate (FNMR) of the rest")
        evidence_legend(axes, "upper right", "mated", marks=False)

    caption = f"The threshold stays where it was. {EVIDENCE} The curve ends where no error is left."
    alt = f"Error-versus-discard curve, beginning at an FNMR of {percent(float(fnmr[0]))}."
    return Plot("edc", "Error versus discard", alt, caption, draw, (5.0, 3.6))


def _search_marks(view: View) -> list[tuple[float, float, bool]]:
    block = view.results.block("identification")
    found: list[tuple[float, float, bool]] = []
    for point in [] if block is None else block.blocks("points"):
        fpir, fnir = point.number("fpir"), point.number("fnir")
        positives, misses = point.count("false_positives"), point.count("misses")
        if point.count("rank") is None and fpir is not None and fnir is not None and positives and misses:
            found.append((fpir, fnir, min(positives, misses) >= FEW))
    return found
