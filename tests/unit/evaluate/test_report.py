"""The page: self-contained, escaped, complete, and nothing drawn that the data cannot say."""

import re
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import OutputFailed
from lineament.evaluate.attack import attack
from lineament.evaluate.plots import plots, render
from lineament.evaluate.report import html, write_csv, write_html
from lineament.evaluate.run import KINDS, Data, Run, System
from lineament.evaluate.verification import verification
from lineament.metrics.scores import Scores

HOSTILE = '<script>alert("x")</script>'


def run(kind="pairs", name: str = "made up") -> Run:
    rng = np.random.default_rng(0)
    similarity = np.clip(np.concatenate([rng.normal(0.6, 0.15, 800), rng.normal(0, 0.15, 4000)]), -1, 1)
    scores = Scores.of(similarity, np.arange(4800) < 800)
    done = verification(scores, targets=(1e-2, 1e-3, 1e-6))
    data = Data(
        name,
        "0" * 64,
        100,
        50,
        800,
        4000,
        failures={"no_face": 2},
        exclusions=[{"sample": name, "reason": ""}],
    )
    errors = {"false_matches": [{"a": name, "b": "b", "similarity": 0.9}], "false_nonmatches": []}
    results = {**done.results, "errors": errors}
    made = {"command": f"lineament {name}", "date": "2026-01-01", "seconds": 1.0, "versions": {"numpy": "2"}}
    return Run(kind, System("model", "1" * 64), data, results, done.curves, made, [*done.notes, name])


def test_the_page_needs_nothing_else_and_says_everything() -> None:
    page = html(run())
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert page.count("<figure>") >= 4
    for words in (
        "Items of ISO/IEC 19795-1",
        "not stated",
        "no_face 2",
        "under 30 false matches",
        "too little data",
    ):
        assert words in page
    assert "&lt; 3/4,000" in page
    assert html(run()) == page


def test_names_from_the_run_are_escaped() -> None:
    page = html(run(name=HOSTILE))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_with_nothing_in_it_makes_a_page(kind) -> None:
    page = html(Run(kind, System(), Data("empty"), {}))
    assert "<h1>empty</h1>" in page


def test_attacks_are_headed_by_the_worst() -> None:
    found = attack(np.array([0.9, 0.8, 0.2, 0.7, 0.6]), ["", "", "print", "mask", "mask"], 0.5)
    page = html(Run("pad", System(), Data("d"), {"attack": found.results()}))
    assert "The worst attack passes in" in page and "mask" in page


def test_nothing_is_drawn_below_one_error() -> None:
    fmr = np.asarray(run().curves["roc"]["fmr"])
    assert fmr[fmr > 0].min() >= 1 / 4000


def test_figures_and_curves_are_files(tmp_path: Path) -> None:
    for plot in plots(run()):
        assert render(plot, "svg").startswith(b"<?xml")
        assert render(plot, "png").startswith(b"\x89PNG")
    written = write_csv(run(), tmp_path)
    assert {p.name for p in written} == {"roc.csv", "histogram.csv"}
    head, first = (tmp_path / "roc.csv").read_text().splitlines()[:2]
    assert head == "threshold,fmr,fnmr" and len(first.split(",")) == 3


def test_faces_are_shown_only_on_request(pictures) -> None:
    errors = {"false_matches": [{"a": "p0/0.png", "b": "p1/1.png", "similarity": 0.9}]}
    made = Run("folder", System(), Data("d"), {"errors": errors})
    assert "data:image" not in html(made)
    page = html(made, thumbnails=pictures)
    assert page.count("data:image/jpeg") == 1
    assert "holds photographs of people" in page and "there is no picture p1/1.png" in page


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed):
        write_html(run(), tmp_path / "no" / "page.html")
