"""Open-set search, against the definitions written out in float64 for one probe at a time."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import EvidenceInsufficient, ScoresInvalid, TemplateInvalid
from lineament.evaluate import search as search_module
from lineament.evaluate.galleries import several
from lineament.evaluate.openset import openset, search, summarise
from lineament.evaluate.redraw import Sorted
from lineament.evaluate.run import Data, Run, System
from lineament.evaluate.search import find
from lineament.evaluate.sweep import Sweep
from lineament.metrics.bootstrap import draws


def unit(generator: np.random.Generator, count: int, d: int = 6) -> np.ndarray:
    """Random unit templates."""
    rows = generator.normal(size=(count, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def coarse(generator: np.random.Generator, count: int) -> np.ndarray:
    """Unit templates with few different similarities, exact in float32: ties everywhere."""
    rows = np.zeros((count, 8), np.float32)
    for row in rows:
        row[generator.choice(8, 4, replace=False)] = generator.choice([-0.5, 0.5], 4)
    return rows


Make = Callable[[np.random.Generator, int], np.ndarray]


def world(seed: int, make: Make = unit, failures: float = 0.1) -> SimpleNamespace:
    """A gallery with several references of a subject, probes of these and of other people, and failures."""
    generator = np.random.default_rng(seed)
    gallery, probes = make(generator, 30), make(generator, 60)
    gallery[generator.random(30) < failures] = np.nan
    probes[generator.random(60) < failures] = np.nan
    return SimpleNamespace(
        gallery=gallery,
        gallery_subject=generator.integers(0, 12, 30) * 3,
        probes=probes,
        probe_subject=generator.integers(0, 24, 60) * 3,
    )


def by_hand(w: SimpleNamespace, i: int) -> tuple[float | None, int, float | None]:
    """(mate similarity, mate rank, best other similarity) of one probe; all None when the search failed."""
    best: dict[int, float] = {}
    for row, subject in zip(w.gallery, w.gallery_subject, strict=True):
        if not np.isnan(row).any():
            value = float(row.astype(np.float64) @ w.probes[i].astype(np.float64))
            best[int(subject)] = max(best.get(int(subject), -np.inf), value)
    mine = best.pop(int(w.probe_subject[i]), None)
    enrolled = w.probe_subject[i] in w.gallery_subject
    if np.isnan(w.probes[i]).any() or (enrolled and mine is None):
        return None, 0, None
    rank = 0 if mine is None else 1 + sum(value >= mine for value in best.values())
    return mine, rank, max(best.values(), default=-np.inf)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), block=st.sampled_from([None, 1, 7]), ties=st.booleans())
def test_every_search_by_brute_force(seed: int, block: int | None, ties: bool) -> None:
    w = world(seed, coarse if ties else unit)
    found = find(w.gallery, w.gallery_subject, w.probes, w.probe_subject, block)
    for i in range(len(w.probes)):
        mate, rank, top = by_hand(w, i)
        assert found.mated[i] == (w.probe_subject[i] in w.gallery_subject)
        assert found.failed[i] == (top is None)
        assert found.mate_rank[i] == rank
        if mate is not None:
            assert found.mate_similarity[i] == pytest.approx(mate, abs=1e-6)
        if top is not None:
            assert found.top_similarity[i] == pytest.approx(top, abs=1e-6)
            row = found.top_row[i]
            assert float(w.gallery[row] @ w.probes[i]) == pytest.approx(top, abs=1e-6)
            assert w.gallery_subject[row] != w.probe_subject[i]
    usable = ~np.isnan(w.gallery).any(axis=1)
    assert found.references == usable.sum()
    assert found.subjects == len(set(w.gallery_subject[usable]))
    assert found.subjects_failed == len(set(w.gallery_subject)) - found.subjects


def test_policies_of_failed_searches() -> None:
    w = world(3, failures=0.3)
    arrays = (w.gallery, w.gallery_subject, w.probes, w.probe_subject)
    mated = np.isin(w.probe_subject, w.gallery_subject)
    failed = np.array([by_hand(w, i)[2] is None for i in range(60)])
    rejected, left_out = search(*arrays), search(*arrays, policy="exclude")
    assert rejected.mated_count == mated.sum()
    assert rejected.nonmated_count == (~mated).sum()
    assert left_out.mated_count == (mated & ~failed).sum()
    assert left_out.nonmated_count == (~mated & ~failed).sum()
    # A failed mated search is a miss, and a failed non-mated one names nobody.
    rejecting, excluding = (
        openset(*arrays, targets=(0.1,)),
        openset(*arrays, targets=(0.1,), policy="exclude"),
    )
    hits = [r.rank_rates[-1].hits for r in (rejecting, excluding)]
    assert hits[0] == hits[1] == (mated & ~failed).sum()
    assert rejecting.rank_rates[-1].rate < excluding.rank_rates[-1].rate == 1


def test_a_subject_whose_references_all_failed_is_missed() -> None:
    gallery = np.array([[1, 0], [np.nan, np.nan]], np.float32)
    probes = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    found = find(gallery, np.array([1, 2]), probes, np.array([2, 1, 3]))
    assert found.mated.tolist() == [True, True, False]
    assert found.failed.tolist() == [True, False, False]
    assert (found.subjects, found.subjects_failed, found.references_failed) == (1, 1, 1)
    assert found.searches.mated_failed == 1


def test_a_gallery_of_one_person_has_no_other_candidate() -> None:
    found = find(np.eye(1, 3, dtype=np.float32), np.array([4]), np.eye(1, 3, dtype=np.float32), np.array([4]))
    assert found.mate_rank.tolist() == [1]
    assert found.top_similarity.tolist() == [-np.inf]
    assert found.top_row.tolist() == [-1]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), ties=st.booleans(), target=st.sampled_from([0.05, 0.1, 0.3, 0.57]))
def test_fnir_at_fpir_by_trying_every_threshold(seed: int, ties: bool, target: float) -> None:
    w = world(seed, coarse if ties else unit)
    result = openset(w.gallery, w.gallery_subject, w.probes, w.probe_subject, targets=(target,), ranks=(1, 3))
    searches = result.found.searches
    values = np.concatenate([searches.top_nonmated, searches.mate_similarity]).astype(np.float64)
    thresholds = np.concatenate([[-np.inf], values, np.nextafter(values.astype(np.float32), 2, dtype="f4")])
    for rank in (1, None):
        best = 1.0
        for t in thresholds:
            false = int((searches.top_nonmated.astype(np.float64) >= t).sum())
            if false / searches.nonmated_count <= target + 1e-12:
                found = searches.mate_similarity.astype(np.float64) >= t
                found &= searches.mate_rank <= (rank or 10**9)
                best = min(best, 1 - found.sum() / searches.mated_count)
        point = next(p for p in result.points if p.rank == rank)
        assert point.fnir == pytest.approx(best)
        assert point.fpir <= target
    for rate in result.rank_rates:
        ranks = [by_hand(w, i)[1] for i in np.flatnonzero(result.found.mated)]
        assert rate.hits == sum(0 < r <= rate.rank for r in ranks)
        assert rate.mated == len(ranks)


def test_curve_is_what_at_fpir_says() -> None:
    w = world(11)
    searches = search(w.gallery, w.gallery_subject, w.probes, w.probe_subject)
    curve = Sweep.of(searches).curve()
    assert (np.diff(curve["fpir"]) > 0).all()
    assert curve["fpir"][0] >= 1 / searches.nonmated_count
    for t, fpir, fnir, first in zip(*curve.values(), strict=True):
        assert (searches.top_nonmated >= np.float32(t)).sum() / searches.nonmated_count == fpir
        hit = searches.mate_similarity >= np.float32(t)
        assert 1 - hit.sum() / searches.mated_count == pytest.approx(fnir)
        assert 1 - (hit & (searches.mate_rank == 1)).sum() / searches.mated_count == pytest.approx(first)


def test_sections_are_those_of_a_run() -> None:
    w = world(5)
    result = openset(
        w.gallery, w.gallery_subject, w.probes, w.probe_subject, targets=(0.003, 0.1), replicates=200
    )
    block = result.results()
    assert [(p["target"], p["rank"]) for p in block["points"]] == [
        (0.003, 1), (0.003, None), (0.1, 1), (0.1, None)
    ]  # fmt: skip
    assert {p["status"] for p in block["points"][:2]} == {"insufficient"}
    for point in block["points"]:
        assert point["fnir_interval"][0] <= point["fnir"] <= point["fnir_interval"][1]
        assert point["fnir_bootstrap"][0] <= point["fnir_bootstrap"][1]
    assert [r["rank"] for r in block["rank_rates"]] == [1, 5, 10, 20]
    curves = result.curves()
    assert curves["cmc"]["rank"][-1] == block["gallery"]
    rates = dict(zip(curves["cmc"]["rank"].tolist(), curves["cmc"]["rate"].tolist(), strict=True))
    assert rates[5] == block["rank_rates"][1]["rate"]
    assert any("independent" in note for note in result.notes())
    run = Run("openset", System(), Data("w"), {"identification": block}, curves)
    assert run.to_dict()["results"]["identification"]["points"][3]["rank"] is None


def test_binomial_check_counts_single_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "CELLS", 64)
    w = world(8, coarse)
    result = openset(w.gallery, w.gallery_subject, w.probes, w.probe_subject, targets=(0.1, 0.5))
    found = result.found
    other = w.probes[~found.mated & ~found.failed].astype(np.float64)
    usable = w.gallery[~np.isnan(w.gallery).any(axis=1)].astype(np.float64)
    for check in result.binomial:
        accepted = (other @ usable.T >= check.threshold).sum()
        assert check.fmr == accepted / (len(other) * len(usable))
        assert check.predicted == pytest.approx(1 - (1 - check.fmr) ** len(usable))
    assert len(result.binomial) == 2


def test_bootstrap_is_the_floor_rule_on_repeated_people() -> None:
    """A draw that takes a person twice is a set with that person's probes twice."""
    w = world(21)
    found = find(w.gallery, w.gallery_subject, w.probes, w.probe_subject)
    people = np.unique(w.probe_subject)
    counts = np.random.default_rng(1).multinomial(len(people), np.ones(len(people)) / len(people))
    repeated = np.repeat(np.arange(60), counts[np.searchsorted(people, w.probe_subject)])
    again = openset(
        w.gallery, w.gallery_subject, w.probes[repeated], w.probe_subject[repeated], targets=(0.1, 0.3)
    )
    asked = [(p.target, p.rank) for p in again.points]
    weighted = Sorted(found, people).fnir(counts, asked)
    assert weighted == pytest.approx([p.fnir for p in again.points])


def test_bootstrap_needs_people_of_both_kinds() -> None:
    """One person is in the gallery and one is not: a draw of one of them twice says nothing."""
    vectors = np.eye(2, dtype=np.float32)
    arrays = (vectors[:1], np.array([0]), vectors, np.array([0, 1]))
    lonely = next(seed for seed in range(100) if 0 in next(draws(2, 1, seed)))
    assert openset(*arrays, targets=(0.5,), replicates=50, seed=lonely).intervals is not None
    with pytest.raises(EvidenceInsufficient, match="none of 1 draws"):
        openset(*arrays, targets=(0.5,), replicates=1, seed=lonely)


def test_several_galleries_are_averaged_and_not_joined() -> None:
    one, two = world(1), world(2)
    parts = {
        name: openset(g.gallery, g.gallery_subject, one.probes, one.probe_subject, targets=(0.1,), ranks=(1,))
        for name, g in (("G1", one), ("G2", two))
    }
    both = several(parts, replicates=100)
    block = both.results()
    for i, point in enumerate(block["points"]):
        each = [part.points[i] for part in parts.values()]
        assert point["fnir"] == pytest.approx(np.mean([p.fnir for p in each]))
        assert point["fnir_sd"] == pytest.approx(np.std([p.fnir for p in each], ddof=1))
        assert point["misses"] == sum(p.misses for p in each)
        assert point["threshold"] is None
        assert point["fnir_interval"][0] <= point["fnir"] <= point["fnir_interval"][1]
        assert len(point["fnir_bootstrap"]) == 2
    assert [split["name"] for split in block["splits"]] == ["G1", "G2"]
    rates = [part.rank_rates[0].rate for part in parts.values()]
    assert block["rank_rates"][0]["rate"] == pytest.approx(np.mean(rates))
    curve = both.curves()["fnir_fpir"]
    assert (np.diff(curve["fpir"]) >= 0).all()
    assert curve["fnir"][-1] == pytest.approx(
        np.mean([1 - len(p.found.searches.mate_rank) / p.found.searches.mated_count for p in parts.values()])
    )
    with pytest.raises(ScoresInvalid, match="same ones"):
        several({"G1": parts["G1"], "G2": summarise(parts["G2"].found, targets=(0.2,))})
    with pytest.raises(ScoresInvalid, match="0 galleries"):
        several({})


def test_a_closed_set_needs_no_one_else() -> None:
    vectors = np.eye(3, dtype=np.float32)
    result = openset(vectors, np.arange(3), vectors, np.arange(3), targets=(), ranks=(1,))
    assert result.results()["rank_rates"][0]["rate"] == 1
    assert "fnir_fpir" not in result.curves()
    with pytest.raises(ScoresInvalid, match="no non-mated search"):
        openset(vectors, np.arange(3), vectors, np.arange(3))


def test_bad_input_is_named() -> None:
    vectors, three = np.eye(3, dtype=np.float32), np.arange(3)
    nothing = np.full((3, 3), np.nan, np.float32)
    with pytest.raises(ScoresInvalid, match="gallery has no template"):
        openset(nothing, three, vectors, three)
    with pytest.raises(ScoresInvalid, match="gallery has no template"):
        openset(vectors[:0], three[:0], vectors, three)
    with pytest.raises(ScoresInvalid, match="no probe"):
        openset(vectors, three, vectors[:0], three[:0])
    with pytest.raises(ScoresInvalid, match="no mated search"):
        openset(vectors, three, vectors, three + 3)
    with pytest.raises(ScoresInvalid, match="two models"):
        openset(vectors, three, np.eye(4, dtype=np.float32), np.arange(4))
    with pytest.raises(ScoresInvalid, match="one value for each of 3"):
        openset(vectors, three[:2], vectors, three)
    with pytest.raises(TemplateInvalid, match="row 0 of the probes is not a unit vector"):
        openset(vectors, three, vectors * 2, three)
    with pytest.raises(TemplateInvalid, match="not a unit vector"):
        openset(np.where(vectors == 1, np.float32(np.inf), vectors), three, vectors, three)
