"""Figures: nothing below one error, little evidence looks like little, and one run gives one file."""

import re
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from lineament.core.errors import DatasetInvalid, RuntimeUnavailable
from lineament.evaluate.openset import openset
from lineament.evaluate.plot_style import PALETTE
from lineament.evaluate.plots import figure, inline, plots, render, write_figures
from lineament.evaluate.run import Data, Run, System
from lineament.evaluate.verification import Sections, verification
from lineament.metrics.scores import Scores

NONMATED, MATED = 20_000, 2_000


@cache
def measured() -> Sections:
    """Sections of mated and non-mated similarities, whose curves go down to no error at all."""
    rng = np.random.default_rng(0)
    mated, nonmated = rng.normal(0.55, 0.15, MATED), rng.normal(0, 0.12, NONMATED)
    similarity = np.clip(np.concatenate([mated, nonmated]), -1, 1)
    scores = Scores.of(similarity, np.arange(MATED + NONMATED) < MATED)
    return verification(scores, targets=(1e-1, 1e-2, 1e-3, 1e-6), replicates=0)


def compared(**data: Any) -> Run:
    """A run with them."""
    done = measured()
    made_up = Data("made up", mated=MATED, nonmated=NONMATED, **data)
    return Run("scores", System(), made_up, dict(done.results), done.curves)


def groups(names: list[str]) -> Run:
    """Rates of groups; the first has no false match, and one pair of groups was not compared."""
    n = len(names)
    rates = [[1e-3 / (1 + abs(i - j)) for j in range(n)] for i in range(n)]
    rates[0][0] = 0.0
    section: dict[str, Any] = {
        "threshold": 0.4,
        "names": names,
        "fmr": [0.0, *[1e-3] * (n - 1)],
        "fnmr": [0.02] * n,
        "counts": [
            {"mated": 1000, "false_nonmatches": 20 + 20 * i, "nonmated": 10_000, "false_matches": 10 * i}
            for i in range(n)
        ],
        "cross_fmr": [
            [None if (i, j) == (0, n - 1) else r for j, r in enumerate(row)] for i, row in enumerate(rates)
        ],
        "measures": {},
    }
    return Run("groups", System(), Data("made up"), {"groups": section})


def drawn(run: Run, name: str) -> Axes:
    plot = next(p for p in plots(run) if p.name == name)
    return figure(plot).axes[0]


def curves(axes: Axes) -> list[Line2D]:
    """Lines with data of a curve, not single marks and not thresholds."""
    return [
        line for line in axes.lines if line.get_marker() in ("", "None", None) and len(line.get_xdata()) > 2
    ]


def marks(axes: Axes) -> list[tuple[float, float, bool]]:
    """(x, y, filled) of every mark."""
    return [
        (float(x), float(y), to_hex(line.get_markerfacecolor()) != PALETTE["paper"])
        for line in axes.lines
        if line.get_marker() in ("o", "D")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


@pytest.mark.parametrize(("name", "tar"), [("det", False), ("roc", True)])
def test_nothing_is_drawn_below_one_error(name: str, tar: bool) -> None:
    run = compared()
    assert min(run.curves["roc"]["fmr"]) == 0 and min(run.curves["roc"]["fnmr"]) == 0
    axes = drawn(run, name)
    shown = [
        (line.get_xdata()[keep], line.get_ydata()[keep])
        for line in curves(axes)
        if (keep := np.isfinite(line.get_ydata())).any()
    ]
    fmr, y = (np.concatenate(parts) for parts in zip(*shown, strict=True))
    assert fmr.min() == pytest.approx(1 / NONMATED)
    if not tar:
        assert y.min() >= 1 / MATED * (1 - 1e-9)
    assert all(x >= 1 / NONMATED for x, _, _ in marks(axes))
    assert axes.get_xlim()[0] <= 1 / NONMATED


def test_both_rates_by_threshold_begin_at_one_error() -> None:
    for line in curves(drawn(compared(), "rates-by-threshold")):
        trials = MATED if to_hex(line.get_color()) == PALETTE["mated"] else NONMATED
        assert np.nanmin(line.get_ydata()) >= 1 / trials * (1 - 1e-9)


def test_solid_has_thirty_errors_of_each_kind_and_dashed_has_not() -> None:
    solid, dashed = 0, 0
    for line in curves(drawn(compared(), "det")):
        keep = np.isfinite(line.get_ydata())
        errors = np.minimum(line.get_xdata()[keep] * NONMATED, line.get_ydata()[keep] * MATED)
        if line.is_dashed():
            dashed += int((errors < 30 - 1e-6).sum())
            # One reliable point at each end joins it to the solid part.
            assert (errors >= 30 - 1e-6).sum() <= 2
        else:
            solid += keep.sum()
            assert errors.min() >= 30 - 1e-6
    assert solid and dashed


def test_points_are_hollow_below_thirty_errors_and_absent_without_any() -> None:
    run = compared()
    points = run.results["verification"]["points"]
    expected = {
        round(p["fmr"], 9): min(p["false_matches"], p["false_nonmatches"]) >= 30
        for p in points
        if p["false_matches"] and p["false_nonmatches"]
    }
    assert set(expected.values()) == {True, False} and len(expected) < len(points)
    assert {round(x, 9): filled for x, _, filled in marks(drawn(run, "det"))} == expected


def test_left_out_failures_are_no_trials() -> None:
    run = compared(failure_policy="exclude", nonmated_failed=NONMATED - 100)
    run.results.clear()  # without operating points the counts come from the data
    axes = drawn(run, "det")
    assert min(np.nanmin(line.get_xdata()[np.isfinite(line.get_ydata())]) for line in curves(axes)) >= 1 / 100


def test_unknown_counts_make_no_claim_of_evidence() -> None:
    run = compared()
    bare = Run("scores", System(), Data("unknown"), {}, {"roc": run.curves["roc"]})
    assert all(line.is_dashed() for line in curves(drawn(bare, "det")))


def test_searches_are_drawn() -> None:
    rng = np.random.default_rng(1)
    people = rng.normal(size=(300, 32))
    unit = lambda v: (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)  # noqa: E731
    probes = unit(people + rng.normal(size=people.shape) * 1.1)
    found = openset(unit(people[:150]), np.arange(150), probes, np.arange(300))
    data = Data("made up", mated=150, nonmated=150)
    run = Run("openset", System(), data, {"identification": found.results()}, found.curves())
    assert [p.name for p in plots(run)] == ["cmc", "fnir-fpir"]
    axes = drawn(run, "fnir-fpir")
    for line in curves(axes):
        keep = np.isfinite(line.get_ydata())
        assert line.get_xdata()[keep].min() >= 1 / 150 - 1e-12
        assert line.get_ydata()[keep].min() >= 1 / 150 - 1e-12
    assert drawn(run, "cmc").get_ylim()[1] >= 1


def test_a_group_without_an_error_is_at_its_bound() -> None:
    axes = drawn(groups(["a", "b", "c", "d"]), "groups-rates")
    bound = [line for line in axes.lines if line.get_marker() == "<"]
    assert [float(line.get_xdata()[0]) for line in bound] == [3 / 10_000]
    assert sorted(filled for _, _, filled in marks(axes)) == [False, False, True]
    assert min(x for x, _, _ in marks(axes)) >= 1 / 10_000


def test_an_unseen_cell_is_hatched_and_an_unknown_one_is_blank() -> None:
    axes = drawn(groups(["a", "b", "c", "d"]), "groups-cross-fmr")
    said = [text.get_text() for text in axes.texts]
    assert said.count("none seen") == 1 and said.count("–") == 1
    assert sum(patch.get_hatch() is not None for patch in axes.patches) == 1


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_run_gives_the_same_bytes(form: Any) -> None:
    for run in (compared(), groups(["a", "b", "c"])):
        for one, other in zip(plots(run), plots(run), strict=True):
            assert render(one, form) == render(other, form)
            assert inline(one) == inline(other)
            assert b"<dc:date>" not in render(one, form)


def test_names_are_drawn_as_they_are() -> None:
    names = ["$\\frac{1}", "<script>x</script>", "東亜", "a\x07b", "\ud800", '"&']
    run = groups(names)
    for plot in plots(run):
        page = inline(plot)
        assert "<script" not in page and "\x07" not in page
        assert render(plot, "svg") and render(plot, "png")
    assert "$\\frac{1}" in "".join(inline(plot) for plot in plots(run))


def test_figures_of_a_page_share_no_id_and_fetch_nothing() -> None:
    for run in (compared(), groups(["a", "b", "c"])):
        page = "".join(inline(plot) for plot in plots(run))
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) == set(ids)
        assert not re.search(r"<(?:style|image|script|metadata)", page)
        assert page.count('role="img"') == page.count("aria-label=") == len(plots(run))
    # Every colour but those of the heat map is the page's, so that dark mode can change it.
    inked = "".join(inline(plot) for plot in plots(compared()))
    assert "var(--mated)" in inked and not re.search("#[0-9a-f]{6}", inked)


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plots(compared())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RuntimeUnavailable, match=r'pip install "lineament\[report\]"'):
        render(made[0], "svg")


@pytest.mark.parametrize(
    ("curve", "value"),
    [
        ("roc", {"threshold": [0.1], "fmr": [0.5, 0.1], "fnmr": [0.1]}),
        ("roc", {"threshold": ["<b>"], "fmr": [0.5], "fnmr": [0.1]}),
        ("cmc", {"rank": 3, "rate": [1]}),
        ("histogram", [1, 2]),
    ],
)
def test_a_changed_curve_is_refused(curve: str, value: Any) -> None:
    with pytest.raises(DatasetInvalid, match=f"curves.{curve}"):
        plots(Run("scores", System(), Data("changed"), {}, {curve: value}))


def test_a_table_of_groups_must_be_square() -> None:
    run = groups(["a", "b", "c"])
    run.results["groups"]["cross_fmr"].pop()
    with pytest.raises(DatasetInvalid, match="3 by 3 groups"):
        plots(run)


def test_files_are_named_after_the_figures(tmp_path: Any) -> None:
    written = write_figures(compared(), tmp_path, "svg")
    assert [path.name for path in written] == [
        "det.svg",
        "roc.svg",
        "rates-by-threshold.svg",
        "histogram.svg",
    ]
    assert all(path.read_bytes().startswith(b"<?xml") for path in written)
