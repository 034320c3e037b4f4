"""Figures of groups of people: false matches within and across groups, and both rates of each group."""

from typing import TYPE_CHECKING

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.evaluate.plot_parts import axis_start, log_rate_axis, points
from lineament.evaluate.plot_style import PALETTE, Plot
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_words import FEW, percent, round_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALE, _DEEP = (232, 240, 247), (8, 48, 107)
_DARK_WORD, _LIGHT_WORD = "#111111", "#fefefe"
_LONGEST_NAME = 24
_MOST_WORDS = 10


def matrix(block: Fields) -> np.ndarray | None:
    """(n, n) false match rate of each group against each, NaN where it is unknown; None when absent.

    Raises:
        DatasetInvalid: it is not square, or not of as many groups as there are names.
    """
    rows = block.values.get("cross_fmr")
    if not rows:
        return None
    names = block.texts("names")
    table = Fields({str(i): row for i, row in enumerate(rows)}, f"{block.place}.cross_fmr")
    columns = [table.column(str(i)) for i in range(len(rows))]
    if any(len(column) != len(names) for column in columns) or len(columns) != len(names):
        raise DatasetInvalid(
            f"{block.place}.cross_fmr is not a table of {len(names)} by {len(names)} groups: the run file "
            "was changed; evaluate again"
        )
    return np.stack(columns)


def cross(view: View) -> Plot | None:
    """Heat map of the false match rate within and across groups."""
    block = view.results.block("groups")
    rates = None if block is None else matrix(block)
    if block is None or rates is None:
        return None
    names = [short(name) for name in block.texts("names")]
    side = max(3.4, min(7.0, 1.9 + 0.48 * len(names)))

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        _cells(axes, rates, names)
        axes.set_xlabel("group of the reference")
        axes.set_ylabel("group of the probe")

    caption = (
        "Darker is a higher false match rate, on a logarithmic scale. Hatched: no false match was seen, "
        "which is not a rate of zero. The diagonal is within a group."
    )
    found = rates[np.isfinite(rates) & (rates > 0)]
    ends = f" from {percent(float(found.min()))} to {percent(float(found.max()))}" if len(found) else ""
    alt = f"Heat map of the false match rate between {len(names)} groups,{ends}."
    return Plot(
        "groups-cross-fmr", "False matches within and across groups", alt, caption, draw, (side * 1.2, side)
    )


def by_group(view: View) -> Plot | None:
    """Both error rates of each group with their intervals."""
    block = view.results.block("groups")
    if block is None or not block.texts("names"):
        return None
    names, counts = block.texts("names"), block.blocks("counts")
    if len(counts) != len(names):
        return None
    kinds = (
        ("nonmated", "false match rate (FMR)", "false_matches", "nonmated", "fmr_interval"),
        ("mated", "false non-match rate (FNMR)", "false_nonmatches", "mated", "fnmr_interval"),
    )

    def draw(figure: "Figure") -> None:
        both = figure.subplots(1, 2, sharey=True)
        for axes, (role, title, errors, trials, interval) in zip(both, kinds, strict=True):
            _rates(axes, [(c.count(errors), c.count(trials), c.interval(interval)) for c in counts], role)
            axes.set_xlabel(title)
        both[0].set_yticks(range(len(names)), [short(name) for name in names])
        both[0].set_ylim(len(names) - 0.4, -0.6)

    caption = (
        f"One threshold for all groups. Bars are intervals; hollow points rest on fewer than {FEW} errors. "
        "A triangle marks a group without an error, at the 3/N under which its rate may be claimed to be."
    )
    alt = f"False match rate and false non-match rate of {len(names)} groups, with intervals."
    height = 1.3 + 0.3 * len(names)
    return Plot("groups-rates", "Error rates by group", alt, caption, draw, (6.2, height))


def short(name: str) -> str:
    """A name that leaves room for the figure; tables have all of it."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _cells(axes: "Axes", rates: np.ndarray, names: list[str]) -> None:
    from matplotlib.patches import Rectangle

    positive = rates[np.isfinite(rates) & (rates > 0)]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    for i, row in enumerate(rates):
        for j, rate in enumerate(row):
            place = (j - 0.5, i - 0.5)
            if np.isfinite(rate) and rate > 0:
                depth = float(np.log(rate / low) / np.log(high / low)) if high > low else 0.5
                axes.add_patch(Rectangle(place, 1, 1, facecolor=_shade(depth), edgecolor="none"))
                word = round_percent(float(f"{rate:.1e}")), _LIGHT_WORD if depth > 0.45 else _DARK_WORD
            else:
                hatch = "////" if np.isfinite(rate) else None
                axes.add_patch(
                    Rectangle(
                        place,
                        1,
                        1,
                        facecolor=PALETTE["shade"],
                        edgecolor=PALETTE["rule"],
                        hatch=hatch,
                        linewidth=0,
                    )
                )
                word = ("none seen" if hatch else "–"), PALETTE["muted"]
            if len(names) <= _MOST_WORDS:
                size = 8 if len(names) <= 6 else 6.5
                axes.text(j, i, word[0], color=word[1], ha="center", va="center", fontsize=size)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    slanted = max(map(len, names)) > 9 or len(names) > 6
    axes.set_xticks(
        range(len(names)), names, rotation=35 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _shade(depth: float) -> str:
    """Between pale and deep blue; 0..1."""
    mixed = [round(a + (b - a) * depth) for a, b in zip(_PALE, _DEEP, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _rates(
    axes: "Axes", rows: list[tuple[int | None, int | None, tuple[float, float] | None]], role: str
) -> None:
    """One axis: points with whiskers, and arrows where there was no error."""
    ends: list[float] = []
    for i, (errors, trials, interval) in enumerate(rows):
        if errors is None or not trials:
            continue
        least = 1 / trials
        if errors == 0:
            bound = min(1.0, 3 / trials)
            axes.plot(
                [bound], [i], marker="<", markersize=5, markerfacecolor=PALETTE["paper"], color=PALETTE[role]
            )
            ends.append(bound)
            continue
        rate = errors / trials
        if interval is not None:
            low = max(interval[0], least)
            axes.plot([low, interval[1]], [i, i], color=PALETTE[role], linewidth=1.2)
            ends += [low, interval[1]]
        points(axes, np.array([rate]), np.array([i]), np.array([errors >= FEW]), role)
        ends.append(rate)
    if not ends:
        return
    values = np.array(ends)
    top = min(1.0, 10 ** np.ceil(np.log10(values.max()) + 0.02))
    start = min(axis_start(values), float(10 ** np.floor(np.log10(values.min()) + 1e-9)))
    log_rate_axis(axes, "x", start, float(top))
    axes.tick_params(axis="y", length=0)
