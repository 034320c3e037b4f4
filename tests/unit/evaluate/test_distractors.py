"""People among distractors, one search at a time."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.evaluate import among as among_module
from lineament.evaluate.distractors import Distractors, among_distractors, replace_noisy
from lineament.evaluate.run import Data, Run, System
from lineament.metrics.bootstrap import draws


def coarse(generator: np.random.Generator, count: int) -> np.ndarray:
    """Unit templates with few different similarities, exact in float32: ties everywhere."""
    rows = np.zeros((count, 8), np.float32)
    for row in rows:
        row[generator.choice(8, 4, replace=False)] = generator.choice([-0.5, 0.5], 4)
    return rows


def world(seed: int, failures: float = 0.1, noise: float = 0.1, ties: bool = True) -> SimpleNamespace:
    generator = np.random.default_rng(seed)
    probes, strangers = coarse(generator, 25), coarse(generator, 90)
    if not ties:
        probes = generator.normal(size=(25, 8)).astype(np.float32)
        strangers = generator.normal(size=(90, 8)).astype(np.float32)
        probes /= np.linalg.norm(probes, axis=1, keepdims=True)
        strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    probes[generator.random(25) < failures] = np.nan
    strangers[generator.random(90) < failures] = np.nan
    return SimpleNamespace(
        probes=probes,
        subject=generator.integers(0, 7, 25),
        distractors=strangers,
        noisy_probes=generator.random(25) < noise,
        noisy_distractors=generator.random(90) < noise,
    )


def run(w: SimpleNamespace, **options: object) -> Distractors:
    values = {"targets": (0.05,), "ranks": (1, 3)} | options
    return among_distractors(
        w.probes,
        w.subject,
        w.distractors,
        noisy_probes=w.noisy_probes,
        noisy_distractors=w.noisy_distractors,
        **values,  # type: ignore[arg-type]
    )


def by_hand(w: SimpleNamespace) -> SimpleNamespace:
    """Ranks of ordered pairs (None: failed), similarities of unordered ones, and of probe × distractor."""
    probes, strangers = w.probes.astype(np.float64), w.distractors.astype(np.float64)
    use = np.flatnonzero(~w.noisy_probes)
    others = strangers[~w.noisy_distractors]
    good = others[~np.isnan(others).any(axis=1)]
    ranks, mated, lost = {}, [], 0
    for a in use:
        for b in use:
            if a != b and w.subject[a] == w.subject[b]:
                s = float(probes[a] @ probes[b])
                ranks[a, b] = None if np.isnan(s) else 1 + int((good @ probes[a] >= s - 1e-9).sum())
                if a < b:
                    lost += np.isnan(s)
                    mated += [] if np.isnan(s) else [s]
    nonmated = (probes[use] @ others.T).ravel()
    return SimpleNamespace(ranks=ranks, mated=mated, lost=lost, nonmated=nonmated)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), ties=st.booleans())
def test_every_search_by_brute_force(seed: int, ties: bool) -> None:
    w = world(seed, ties=ties)
    expected = by_hand(w)
    if not any(rank is not None for rank in expected.ranks.values()):
        with pytest.raises(ScoresInvalid, match="no person has two"):
            run(w)
        return
    result = run(w)
    among = result.among
    found = dict(zip(map(tuple, among.pairs.tolist()), among.rank.tolist(), strict=False))
    assert {tuple(p) for p in among.pairs.tolist()} == set(expected.ranks)
    assert found == {pair: rank for pair, rank in expected.ranks.items() if rank is not None}
    for rank in (1, 3):
        hits = [r is not None and r <= rank for r in expected.ranks.values()]
        assert among.rate(rank) == pytest.approx(np.mean(hits))
    np.testing.assert_allclose(np.sort(among.scores.mated), np.sort(expected.mated), atol=1e-6)
    assert among.scores.mated_failed == expected.lost
    known = np.sort(expected.nonmated[~np.isnan(expected.nonmated)])[::-1]
    assert among.scores.nonmated_total == len(known)
    assert among.scores.nonmated_failed == len(expected.nonmated) - len(known)
    kept = len(among.scores.nonmated)
    np.testing.assert_allclose(among.scores.nonmated, known[:kept], atol=1e-6)
    bar = known[int(0.05 * len(expected.nonmated))]
    mated = np.array([*expected.mated, *[-9.0] * expected.lost])
    assert result.points[0].fnmr == pytest.approx((mated <= bar + 1e-7).mean())
    for (p, q), s in zip(among.strangers.tolist(), among.scores.nonmated, strict=True):
        assert float(w.probes[p] @ w.distractors[q]) == pytest.approx(float(s), abs=1e-6)
        assert not w.noisy_probes[p]
        assert not w.noisy_distractors[q]


def test_blocks_and_memory_maps_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    w = world(3)
    whole = run(w).among
    np.save(tmp_path / "d.npy", w.distractors.astype(np.float16))
    w.distractors = np.load(tmp_path / "d.npy", mmap_mode="r")
    monkeypatch.setattr(among_module, "BLOCK", 7)
    monkeypatch.setattr(among_module, "CELLS", 21)
    seen: list[tuple[int, int]] = []
    parts = run(w, progress=lambda done, of: seen.append((done, of))).among
    assert (parts.pairs == whole.pairs).all()
    assert (parts.rank == whole.rank).all()
    assert (parts.scores.nonmated == whole.scores.nonmated).all()
    assert seen[-1] == (whole.distractors, whole.distractors)
    assert len(seen) == -(-whole.distractors // 7)


def test_failures_by_policy() -> None:
    w = world(5, failures=0.2)
    kept, less = run(w), run(w, policy="exclude")
    assert (kept.among.rank == less.among.rank).all()
    assert len(less.among.pairs) == len(less.among.rank) < len(kept.among.pairs)
    assert less.among.scores.mated_failed == less.among.scores.nonmated_failed == 0
    assert kept.among.probes_failed > 0
    assert kept.among.distractors_failed > 0


def test_a_mislabelled_probe_is_left_out_and_legacy_makes_a_mate_of_it() -> None:
    """Two people with three pictures; one picture is of somebody else, who is among the distractors."""
    probes = np.array(
        [[1, 0, 0, 0], [0.9, 0.43589, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0.9, 0, 0.43589]], np.float32
    )
    w = SimpleNamespace(
        probes=probes,
        subject=np.array([0, 0, 0, 1, 1]),
        distractors=np.array([[0, 0, 1, 0], [0, 0, 0.8, 0.6], [0, 0.6, 0.8, 0]], np.float32),
        noisy_probes=np.array([False, False, True, False, False]),
        noisy_distractors=np.zeros(3, bool),
    )
    result = run(w, targets=(0.5,), ranks=(1,), legacy=True)
    block = result.results()["identification"]
    assert block["rank_rates"][0]["rate"] == 1.0
    assert block["rank_rates"][0]["mated"] == 4
    assert block["legacy"]["rank_rates"][0]["mated"] == 8
    assert block["legacy"]["rank_rates"][0]["rate"] == 1.0
    assert block["excluded_probes"] == 1
    assert any("`legacy`" in note for note in result.notes())
    w.noisy_probes[2] = False
    assert run(w, targets=(0.5,), ranks=(1,)).among.rate(1) == 0.5
    replaced, usable = replace_noisy(probes, w.subject, np.arange(5) == 2, seed=1)
    centre = (probes[0] + probes[1]) / np.linalg.norm(probes[0] + probes[1])
    assert float(replaced[2] @ centre) > 0.99999
    assert not np.array_equal(replaced[2], centre)
    assert usable.all()
    assert (replaced[[0, 1, 3, 4]] == probes[[0, 1, 3, 4]]).all()
    assert not replace_noisy(probes, w.subject, np.arange(5) >= 3)[1][3:].any()


def test_bootstrap_draws_people() -> None:
    w = world(9, failures=0.15)
    result = run(w, replicates=40, seed=7)
    among = result.among
    people = np.unique(among.subject)
    rates = []
    for count in draws(len(people), 40, 7):
        weight = count[np.searchsorted(people, among.subject)]
        hit = np.zeros(len(weight), bool)
        hit[: len(among.rank)] = among.rank <= 3
        rates.append((weight * hit).sum() / weight.sum())
    row = result.results()["identification"]["rank_rates"][1]
    assert row["interval"] == pytest.approx(np.quantile(rates, (0.025, 0.975)).tolist())
    assert "over people" in row["interval_method"]


def test_sections_are_those_of_a_run() -> None:
    result = run(world(1), targets=(0.05, 1e-6))
    sections = result.results()
    assert [p["status"] for p in sections["verification"]["points"]] == ["ok", "insufficient"]
    assert sections["identification"]["gallery"] == result.among.distractors + 1
    curve = result.curves()["cmc"]
    assert curve["rank"][-1] == result.among.distractors + 1
    assert curve["rate"][2] == result.among.rate(3)
    saved = Run("distractors", System(), Data("d"), sections, result.curves()).to_dict()
    assert saved["results"]["verification"]["points"][0]["tar_interval"][0] >= 0


def test_bad_input_is_named() -> None:
    w = world(1)
    with pytest.raises(ScoresInvalid, match="no distractor"):
        among_distractors(w.probes, w.subject, w.distractors, noisy_distractors=np.ones(90, bool))
    with pytest.raises(ScoresInvalid, match="no person has two"):
        among_distractors(w.probes, np.arange(25), w.distractors)
    with pytest.raises(ScoresInvalid, match="two models"):
        among_distractors(w.probes, w.subject, w.distractors[:, :4])
    with pytest.raises(ScoresInvalid, match="25 truth values"):
        among_distractors(w.probes, w.subject, w.distractors, noisy_probes=np.ones(3, bool))
    with pytest.raises(InvalidArgument, match="rank is 1 or more"):
        run(w, ranks=(0,))
