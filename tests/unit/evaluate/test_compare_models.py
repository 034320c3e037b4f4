"""The difference of two models, paired over people."""

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.evaluate.compare_models import arrays_of, compare_models
from lineament.evaluate.run import Data, Run, System
from lineament.metrics.scores import Scores

N, PEOPLE = 1200, 80


def listed(noise: float, seed: int = 0, digest: str = "d", subjects: bool = True) -> Run:
    rng = np.random.default_rng(5)
    label = np.tile([True, False], N // 2)
    first = rng.integers(0, PEOPLE, N)
    second = np.where(label, first, (first + rng.integers(1, PEOPLE, N)) % PEOPLE)
    hard = rng.normal(0, 0.1, N)  # what is hard for one model is hard for the other
    similarity = np.where(label, 0.5, 0.0) + hard + noise * np.random.default_rng(seed).normal(size=N)
    arrays = {"similarity": similarity, "label": label, "correct": (similarity >= 0.25) == label}
    if subjects:
        arrays["subject"] = np.stack([first, second], axis=1)
    points = [{"target": 0.01, "status": "ok"}, {"target": 1e-5, "status": "insufficient"}]
    results = {"verification": {"points": points}}
    return Run("pairs", System(model=f"noise {noise}"), Data("made up", digest), results, arrays=arrays)


def test_a_model_does_not_differ_from_itself() -> None:
    for d in compare_models(listed(0.1), listed(0.1), replicates=100):
        assert (d.difference, d.interval, d.clear) == (0.0, (0.0, 0.0), False)
        assert d.share_above == pytest.approx(0.5)


@pytest.mark.parametrize("subjects", [True, False])
def test_a_clearly_better_model_is_found(subjects) -> None:
    found = compare_models(
        listed(0.05, 1, subjects=subjects), listed(0.3, 2, subjects=subjects), replicates=200
    )
    assert [d.measure for d in found] == ["tar@0.01", "accuracy"]
    assert all(d.clear and d.difference > 0 and d.interval[0] > 0 for d in found)


def test_own_values_are_counted_by_hand() -> None:
    a, b = listed(0.05, 1), listed(0.3, 2)
    tar, accuracy = compare_models(a, b, replicates=100)
    for run, value in ((a, tar.a), (b, tar.b)):
        s, y = run.arrays["similarity"], run.arrays["label"]
        bar = np.sort(s[~y])[::-1][int(0.01 * (~y).sum())]
        assert value == pytest.approx((s[y] > bar).mean())
    assert accuracy.a == pytest.approx(a.arrays["correct"].mean())


def test_all_pairs_agree_with_the_list_of_the_same_pairs() -> None:
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(30), 3)
    i, j = np.triu_indices(90, 1)
    runs: dict[str, list[Run]] = {"list": [], "all": []}
    for noise in (0.4, 0.7):
        x = rng.normal(size=(30, 16))[subject] + noise * rng.normal(size=(90, 16))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        s, y, who = (x @ x.T)[i, j], subject[i] == subject[j], np.stack([subject[i], subject[j]], axis=1)
        whole = Scores.of(s, y, subjects=who)
        arrays = arrays_of(whole) | {"samples": np.full(30, 3)}
        points = {"verification": {"points": [{"target": 0.05, "status": "ok"}]}}
        runs["all"].append(Run("folder", System(), Data("x", "d"), points, arrays=arrays))
        listing = {"similarity": s, "label": y, "subject": who}
        runs["list"].append(Run("pairs", System(), Data("x", "d"), points, arrays=listing))
    (by_list,), (by_all,) = (compare_models(*runs[k], replicates=100) for k in ("list", "all"))
    assert (by_list.a, by_list.b) == pytest.approx((by_all.a, by_all.b))
    # All pairs also pair a person drawn twice with itself; both ways weigh the same comparisons.
    assert by_list.interval == pytest.approx(by_all.interval, abs=0.02)


def test_runs_on_other_data_or_without_arrays_are_refused(tmp_path) -> None:
    with pytest.raises(DatasetInvalid, match="different data"):
        compare_models(listed(0.1), listed(0.1, digest="other"))
    listed(0.1).save(tmp_path / "a.json")
    (tmp_path / "a.npz").unlink()
    with pytest.raises(DatasetInvalid, match=r"keep the \.npz"):
        compare_models(Run.load(tmp_path / "a.json"), listed(0.1))
    with pytest.raises(InvalidArgument, match="at least 100"):
        compare_models(listed(0.1), listed(0.1), replicates=10)
