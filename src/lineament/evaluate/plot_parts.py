"""Pieces of figures: lines that show their evidence, scales of rates, marks.

A rate below one error in the data is never drawn; one that rests on fewer than thirty is dashed or hollow.
"""

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from lineament.evaluate.plot_style import PALETTE
from lineament.evaluate.report_words import FEW, round_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVIDENCE = f"Dashed lines and hollow points rest on fewer than {FEW} errors of a kind."
_SLACK = 1e-6  # a rate read back from JSON may be one error short by rounding


def seen(rate: np.ndarray, trials: int | None) -> np.ndarray:
    """(n,) bool: whether a rate is at least one error; any rate above 0 when `trials` is unknown."""
    return np.isfinite(rate) & (rate * trials >= 1 - _SLACK if trials else rate > 0)


def sure(rate: np.ndarray, trials: int | None) -> np.ndarray:
    """(n,) bool: whether a rate rests on at least 30 errors; never when `trials` is unknown."""
    return rate * (trials or 0) >= FEW - _SLACK


def line(
    axes: "Axes", x: np.ndarray, y: np.ndarray, certain: np.ndarray, role: str, *, steps: bool = False
) -> None:
    """A curve: solid where there is evidence, dashed where fewer than 30 errors stand behind a point.

    Args:
        axes: where.
        x, y: (n,) points in order.
        certain: (n,) bool, whether a point has its 30 errors.
        role: of the palette.
        steps: hold each value until the next point.
    """
    style: Any = {"color": PALETTE[role], "drawstyle": "steps-post" if steps else "default"}
    unsure = ~certain
    near = unsure.copy()
    near[:-1] |= unsure[1:]
    near[1:] |= unsure[:-1]
    if near.any():
        axes.plot(x, np.where(near, y, np.nan), linestyle=(0, (3.2, 2)), linewidth=1.3, **style)
    if certain.any():
        axes.plot(x, np.where(certain, y, np.nan), **style)


def points(
    axes: "Axes",
    x: np.ndarray,
    y: np.ndarray,
    certain: np.ndarray,
    role: str,
    marker: str = "o",
    size: float = 5.5,
) -> None:
    """Single results: filled with at least 30 errors of each kind, hollow with fewer."""
    for some, face in ((certain, PALETTE[role]), (~certain, PALETTE["paper"])):
        if some.any():
            axes.plot(
                x[some],
                y[some],
                linestyle="none",
                marker=marker,
                markersize=size,
                markerfacecolor=face,
                markeredgecolor=PALETTE[role],
                markeredgewidth=1.3,
            )


def evidence_legend(axes: "Axes", place: str, role: str = "ink", *, marks: bool = True) -> None:
    """What solid, dashed, filled and hollow mean."""
    from matplotlib.lines import Line2D

    shade = PALETTE[role]
    common: Any = {"color": shade, "marker": "o" if marks else "", "markersize": 5, "markeredgewidth": 1.3}
    handles = [
        Line2D([], [], label=f"{FEW} errors or more", **common),
        Line2D([], [], label="fewer", linestyle=(0, (3.2, 2)), markerfacecolor=PALETTE["paper"], **common),
    ]
    axes.legend(handles=handles, loc=cast(Any, place))


def percent_axis(axis: Any, ticks: list[float]) -> None:
    """Ticks at chosen rates, written in percent."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([round_percent(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def probit_axis(axes: "Axes", which: Literal["x", "y"], low: float, high: float) -> None:
    """A scale on which similarities of normal distributions give a straight line (Martin et al., 1997)."""
    from scipy.special import ndtr, ndtri

    def forward(rate: Any) -> Any:
        return ndtri(np.clip(rate, 1e-15, 1 - 1e-15))

    axis = axes.xaxis if which == "x" else axes.yaxis
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_scale("function", functions=(forward, ndtr))
    beyond = [0.2, 0.5, 0.8, 0.95, 0.99]
    ticks = [t for t in [*decades(low, 0.1), *beyond] if low * 0.999 <= t <= high * 1.001]
    places = (forward(ticks) - forward(low)) / (forward(high) - forward(low))
    percent_axis(axis, _apart(ticks, places) if which == "x" else ticks)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)


def log_rate_axis(axes: "Axes", which: Literal["x", "y"], low: float, high: float = 1.0) -> None:
    """A logarithmic scale of rates, one tick a decade as long as there is room."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    percent_axis(axes.xaxis if which == "x" else axes.yaxis, _thinned(decades(low, high), 8))
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from `low` to `high`, both included."""
    first, last = round(np.ceil(np.log10(low) - 1e-9)), round(np.floor(np.log10(high) + 1e-9))
    return [float(f"1e{power}") for power in range(first, last + 1)]


def _apart(ticks: list[float], places: np.ndarray) -> list[float]:
    """Ticks whose words do not touch on a horizontal axis, the largest first; `places` are from 0 to 1."""
    kept: list[float] = []
    left = 2.0
    for tick, place in zip(ticks[::-1], places[::-1], strict=True):
        half = 0.009 * len(round_percent(tick))  # half a word of 8 point on an axis of some 4 inches
        if place + half + 0.01 < left:
            kept.append(tick)
            left = float(place) - half
    return kept[::-1]


def _thinned(ticks: list[float], most: int) -> list[float]:
    """Every second tick when they would touch, keeping the last."""
    while len(ticks) > most:
        ticks = ticks[::-1][::2][::-1]
    return ticks


def share_axis(axes: "Axes", lowest: float) -> None:
    """A vertical axis of shares that are mostly near one, beginning at a round number under the lowest."""
    bottom = next(b for b in (0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0.0) if b <= lowest or b == 0.0)
    axes.set_ylim(bottom, 1 + 0.03 * (1 - bottom))
    percent_axis(axes.yaxis, [round(float(tick), 4) for tick in np.linspace(bottom, 1, 6)])


def axis_start(rate: np.ndarray) -> float:
    """The power of ten at or below the smallest rate, at most 1 %: where an axis of rates begins."""
    power = int(np.floor(np.log10(np.nanmin(rate)) + 1e-9))
    return float(f"1e{min(-2, max(power, -12))}")


def unseen_area(axes: "Axes", trials: int | None) -> None:
    """Grey, where the data cannot show a rate."""
    left = axes.get_xlim()[0]
    if trials and 1 / trials > left * 1.001:
        axes.axvspan(left, 1 / trials, facecolor=PALETTE["shade"], edgecolor="none", zorder=0)


def grey_note(rate: np.ndarray, trials: int | None) -> str:
    """What the grey area is, for the caption of a figure that has one worth seeing."""
    if not trials or 1 / trials < 1.5 * axis_start(rate):
        return ""
    return f" In the grey area lie rates below one in {trials:,}, of which the data say nothing."


def label(
    axes: "Axes",
    text: str,
    at: tuple[float, float],
    aside: tuple[float | int, float | int],
    role: str,
    align: str = "",
) -> None:
    """A word beside a point, `aside` points (1/72 inch) away from it."""
    side: Any = align or ("left" if aside[0] > 0 else "right")
    axes.annotate(
        text,
        at,
        aside,
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=PALETTE[role],
        annotation_clip=False,
    )


def count_ticks(axis: Any, ticks: list[float]) -> None:
    """Ticks at chosen counts, large ones in words."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([_magnitude(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def _magnitude(number: float) -> str:
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{number / size:,.0f}{word}"
    return f"{number:,.0f}"


def even_ticks(top: float) -> list[float]:
    """Five or so round ticks from 0 to `top`."""
    step = 10.0 ** np.floor(np.log10(top / 4))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if top / (step * m) <= 6)
    return [round(float(t), 12) for t in np.arange(0, top * 1.0001, step)]
