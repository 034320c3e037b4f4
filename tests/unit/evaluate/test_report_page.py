"""The page of every kind of run: whole, safe, true about what it does not know; changed files are refused."""

import json
import re
from copy import deepcopy
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid
from lineament.evaluate.attack import attack
from lineament.evaluate.galleries import several
from lineament.evaluate.groups import groups
from lineament.evaluate.openset import openset
from lineament.evaluate.pairs import Compared, pairs
from lineament.evaluate.report import html, write_csv
from lineament.evaluate.run import Data, Run, System

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b\u202e"


@cache
def runs() -> dict[str, Run]:
    """A run of each shape that the protocols give, from random similarities and templates."""
    rng = np.random.default_rng(7)
    n = 3000
    mated = np.arange(n) < n // 2
    similarity = np.where(mated, rng.normal(0.6, 0.15, n), rng.normal(0, 0.12, n)).clip(-1, 1)
    names = ([f"a{i}.jpg" for i in range(n)], [f"b{i}.jpg" for i in range(n)])
    quality = rng.uniform(size=(n, 2))
    listed, _ = pairs(
        Compared(similarity, mated, np.arange(n) % 10, None, quality, names), targets=(1e-1, 1e-2, 1e-5)
    )
    people = rng.normal(size=(200, 32))
    unit = lambda v: (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)  # noqa: E731
    probes = unit(people + rng.normal(size=people.shape) * 0.9)
    one = openset(unit(people[:100]), np.arange(100), probes, np.arange(200), replicates=20)
    two = openset(unit(people[100:]), np.arange(100, 200), probes, np.arange(200), replicates=20)
    both = several({"G1": one, "G2": two})
    side = rng.integers(0, 3, n)
    by_group = groups(similarity, mated, side, side, ["one", "two", "three"], threshold=0.3)
    species = np.array(["", "print", "mask", "screen"])[rng.integers(0, 4, 400)]
    attacks = attack(
        np.where(species == "", rng.normal(0.7, 0.2, 400), rng.normal(0.3, 0.2, 400)), species, 0.5
    )
    system = System(
        "model", "1" * 64, "detector", "sum_raw", "largest", template_bytes=2048, runtime={"threads": 2}
    )
    data = Data("made up", "2" * 64, 400, 200, n // 2, n // 2, {"no_face": 3}, "reject", 4, 5, ["x.jpg"])
    data.exclusions.append({"sample": "bad.jpg", "reason": "label error"})
    made: dict[str, Any] = {
        "command": "lineament evaluate", "date": "2026-01-02", "seconds": 12.0, "seed": 1, "replicates": 20,
        "versions": {"numpy": "2"},
    }  # fmt: skip
    parts: dict[str, Any] = {
        "pairs": (listed.results, listed.curves, listed.notes),
        "openset": ({"identification": one.results()}, one.curves(), one.notes()),
        "ijb": ({"identification": both.results()}, both.curves(), both.notes()),
        "groups": ({"groups": by_group.results()}, {}, by_group.notes()),
        "pad": ({"attack": attacks.results()}, {}, attacks.notes()),
        "scores": ({"verification": listed.results["verification"]}, {}, []),
    }
    return {
        kind: Run(kind, system, data, results, curves, made, notes)  # type: ignore[arg-type]
        for kind, (results, curves, notes) in parts.items()
    }


KINDS = ("pairs", "openset", "ijb", "groups", "pad", "scores")


class Reader(HTMLParser):
    """Tags that are open, addresses that would be fetched, and the text."""

    void = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.text += " "
        if tag not in self.void:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def text_of(page: str) -> str:
    return " ".join(read(page).text.replace("\u00a0", " ").split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_whole_and_fetches_nothing(kind: str) -> None:
    reader = read(html(runs()[kind]))
    assert all(address.startswith(("#", "data:")) for address in reader.addresses)
    assert not reader.handlers
    assert not reader.tags & {"script", "link", "iframe", "object", "image", "foreignobject"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_run_gives_the_same_page(kind: str, tmp_path: Path) -> None:
    runs()[kind].save(tmp_path / "run.json")
    assert html(Run.load(tmp_path / "run.json")) == html(runs()[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_may_be_missing(kind: str) -> None:
    whole = runs()[kind]
    for section in ("results", "curves", "provenance"):
        for key in getattr(whole, section):
            body = deepcopy(whole.to_dict())
            del body[section][key]
            read(html(loaded(body if section == "curves" else {**body, "curves": {}})))
    for name, block in whole.to_dict()["results"].items():
        for key in block:
            if name == "groups" and key in ("names", "counts", "fmr", "fnmr", "cross_fmr"):
                continue  # these belong together
            body = deepcopy(whole.to_dict())
            body["results"][name][key] = None
            text_of(html(loaded({**body, "curves": {}})))


def loaded(body: dict[str, Any]) -> Run:
    """A run from plain values, as `Run.load` makes it."""
    body = {k: v for k, v in body.items() if k not in ("schema", "arrays")}
    return Run(**{**body, "system": System(**body["system"]), "data": Data(**body["data"])})


def poisoned(value: Any) -> Any:
    """Every text of a run, keys of free-form objects included, with markup at its end."""
    if isinstance(value, dict):
        fixed = {"no_face", "numpy", "print", "mask", "screen", "G1", "threads"}
        return {(k + HOSTILE if k in fixed else k): poisoned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(v) for v in value]
    return value + HOSTILE if isinstance(value, str) and value not in ("ok", "insufficient") else value


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_a_run_becomes_markup(kind: str) -> None:
    clean = runs()[kind]
    run = loaded({**poisoned(clean.to_dict()), "kind": kind})
    page = html(run, title=f"t{HOSTILE}")
    reader = read(page)
    assert reader.tags <= read(html(clean)).tags
    assert not reader.handlers
    assert HOSTILE not in page and "\x1b" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)") > 5


def test_the_answer_comes_first() -> None:
    expected = {
        "pairs": r"On made up, model decides 9\d\.\d+ % of the pairs rightly \(95 % interval",
        "openset": r"Searching among 100 people, model misses [\d.]+ % of those who .* at most 10 %",
        "ijb": r"Searching among 100 people, model misses",
        "groups": r"the largest false match rate of a group (is|cannot)",
        "pad": r"The worst attack passes in [\d.]+ % \((mask|print|screen)\)",
        "scores": r"Where the threshold lets at most 1 in 10 of non-mated comparisons pass, model rejects",
    }
    for kind, pattern in expected.items():
        lead = re.search(r'class="lead">(.*?)</p>', html(runs()[kind]))
        assert lead is not None and re.search(pattern, lead[1].replace("\u00a0", " ")), (kind, lead)


def test_a_rate_stands_with_its_errors_its_interval_and_its_doubts() -> None:
    run = runs()["pairs"]
    said = text_of(html(run))
    point = next(p for p in run.results["verification"]["points"] if p["target"] == 1e-2)
    assert point["false_matches"] == 15 and not point["reliable"]
    assert "15 of 1,500" in said and "1 in 100" in said
    assert "○" in said and "rule of 30" in said
    assert "< 3/1,500" in said and "3/N is 0.2 %" in said and "too little data" in said
    assert "Intervals: Wilson 95 %, comparisons counted as independent" in said


def test_a_deployed_threshold_has_its_origin_beside_it() -> None:
    body = deepcopy(runs()["scores"].to_dict())
    point = body["results"]["verification"]["points"][0]
    body["results"]["verification"]["deployed"] = {
        **point,
        "name": "measured on B, 2026",
        "promised_fmr": 1e-3,
    }
    said = text_of(html(loaded(body)))
    assert "At the deployed threshold, model rejects" in said
    assert "promised 0.1 %" in said and "measured on B, 2026. Whether these are the same people" in said


def test_too_little_data_is_the_answer_when_it_is() -> None:
    body = deepcopy(runs()["scores"].to_dict())
    points = body["results"]["verification"]["points"]
    body["results"]["verification"]["points"] = [p for p in points if p["status"] == "insufficient"]
    assert "There are too few comparisons" in text_of(html(loaded(body)))


def test_every_item_of_the_standard_has_a_value_or_says_that_it_has_none() -> None:
    said = text_of(html(runs()["pairs"]))
    for words in (
        "type of test technology evaluation", "data set and version made up", "independent subjects 200",
        "demographics not stated", "capture conditions not stated", "deviations from the protocol not stated",
        "failures to acquire 3 of 400 samples: no_face 3", "counts as a rejection (4 mated and 5 non-mated)",
        "exclusions 1 (label error: 1)", "bad.jpg: label error", "overlap with the training data not stated",
        "size of a template 2,048 bytes", "operating points: chosen on these data", "throughput not stated",
        "command lineament evaluate", "date 2026-01-02", "seed 1, 20 draws", "versions numpy 2",
    ):  # fmt: skip
        assert words in said, words


def test_what_only_a_person_knows_can_be_stated() -> None:
    body = deepcopy(runs()["pairs"].to_dict())
    body["provenance"]["statements"] = {"demographics": "adults, 51 % women", "deviations": "none"}
    said = text_of(html(loaded(body)))
    assert "demographics adults, 51 % women" in said and "deviations from the protocol none" in said


def test_a_section_without_a_table_of_its_own_is_shown_all_the_same() -> None:
    run = runs()["scores"]
    more = Run(
        "scores", run.system, run.data, {**run.results, "drift": {"per_month": 0.25, "by": {"x": [1, 2]}}}
    )
    said = text_of(html(more))
    assert "drift, per month 0.25" in said and "drift, by, x 1, 2" in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("results", "verification", "points", 0, "fmr"), "<b>"),
        (("results", "verification", "points", 0, "false_matches"), 1.5),
        (("results", "verification", "points", 0, "fmr_interval"), [1, 2, 3]),
        (("results", "verification", "points"), {"a": 1}),
        (("results", "verification"), [1]),
        (("results", "verification", "points", 0, "reliable"), "yes"),
        (("data", "name"), {"a": 1}),
        (("provenance", "versions"), "2"),
    ],
)
def test_a_changed_run_is_refused_by_the_place_that_was_changed(
    path: tuple[Any, ...], value: Any, tmp_path: Path
) -> None:
    body = deepcopy(runs()["scores"].to_dict())
    inner: Any = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (tmp_path / "run.json").write_text(json.dumps(body))
    with pytest.raises(DatasetInvalid, match=str(path[-1] if isinstance(path[-1], str) else path[-2])):
        html(Run.load(tmp_path / "run.json"))


def test_pictures_of_something_else_are_refused(pictures: Any) -> None:
    errors = {"false_matches": [{"a": "q/0.png", "b": "q/1.png", "similarity": 0.9}]}
    with pytest.raises(DatasetInvalid, match="not one of the 2 pictures"):
        html(Run("folder", System(), Data("d"), {"errors": errors}), thumbnails=pictures)


def test_pictures_are_found_by_the_names_of_a_list_and_a_damaged_one_is_told(pictures: Any) -> None:
    errors = {"false_matches": [{"a": "p0/0", "b": "p2/0.png", "similarity": 0.9}]}
    page = html(Run("folder", System(), Data("d"), {"errors": errors}), thumbnails=pictures)
    assert page.count("data:image/jpeg;base64,") == 1
    assert "p2/0.png cannot be shown: image_unreadable" in page


def test_only_as_many_errors_as_asked_for_are_listed() -> None:
    page = html(runs()["pairs"], worst=3)
    assert text_of(page).count("47 more are in the run file.") == 2
    assert "Worst errors" not in html(runs()["pairs"], worst=0)


def test_curves_are_exact_and_their_names_are_names(tmp_path: Path) -> None:
    run = runs()["pairs"]
    assert {p.name for p in write_csv(run, tmp_path)} == {"roc.csv", "histogram.csv", "edc.csv"}
    rows = [line.split(",") for line in (tmp_path / "roc.csv").read_text().splitlines()[1:]]
    assert [float(row[1]) for row in rows] == json.loads(json.dumps(run.to_dict()["curves"]["roc"]["fmr"]))
    assert len(rows[0]) == 3
    bins = (tmp_path / "histogram.csv").read_text().splitlines()
    assert bins[0] == "from,to,mated,nonmated"
    assert sum(int(line.split(",")[3]) for line in bins[1:]) == 1500
    for curves in ({"../escape": {"x": [1]}}, {"roc": {"fmr": [1], "fnmr": []}}, {"roc": {"fmr": ["=1+1"]}}):
        with pytest.raises(DatasetInvalid):
            write_csv(Run("scores", System(), Data("d"), {}, curves), tmp_path)
