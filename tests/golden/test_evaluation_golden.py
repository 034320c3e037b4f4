"""Fixed numbers for rates, curves, intervals, folds and the bootstrap.

`evaluation_golden.json` was computed once with scikit-learn, scipy, statsmodels, bob.measure, pyeer and
llreval; `verification_parity.npz` holds unit embeddings of random pairs and what arcface_torch's
eval/verification.py answered for them. The table of folds was computed with a copy of its arithmetic.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.metrics import intervals
from lineament.metrics.bootstrap import weighted_rates
from lineament.metrics.curves import auc, d_prime, roc
from lineament.metrics.eer import eer
from lineament.metrics.folds import Folds, insightface_folds, strict_folds
from lineament.metrics.operating import allowed, at_fmr, at_threshold
from lineament.metrics.scores import Scores

HERE = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((HERE / "evaluation_golden.json").read_text("utf-8"))
MATED = np.array([0.9, 0.8, 0.8, 0.6, 0.5, 0.3])
NONMATED = np.array([0.7, 0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1, 0, 0])


def scores_of(mated: np.ndarray, nonmated: np.ndarray) -> Scores:
    values = np.concatenate([mated, nonmated])
    return Scores.of(values, np.arange(len(values)) < len(mated))


SET_A = scores_of(MATED, NONMATED)
DISCRETE = scores_of(np.array([3.0, 3, 2, 1]), np.repeat([0.0, 1, 2, 3], [90, 6, 3, 1]))


@pytest.mark.parametrize(
    ("target", "bar", "fmr", "tar"),
    [
        ("0.5", 0.2, 0.4, 1.0),
        ("0.3", 0.3, 0.3, 0.833333),
        ("0.25", 0.4, 0.2, 0.833333),
        ("0.2", 0.4, 0.2, 0.833333),
        ("0.1", 0.5, 0.1, 0.666667),
        ("0.05", 0.7, 0.0, 0.5),
        ("0.01", 0.7, 0.0, 0.5),
    ],
)
def test_set_a(target: str, bar: float, fmr: float, tar: float) -> None:
    for given in (target, float(target)):
        point = at_fmr(SET_A, given)
        assert point.bar == bar
        assert point.threshold == np.nextafter(bar, np.inf)
        assert (point.fmr, point.tar) == pytest.approx((fmr, tar), abs=1e-6)
        assert [point.threshold, point.tar, point.fmr] == pytest.approx(GOLDEN[f"A.tar@far={target}"])
        assert point.status == ("ok" if float(target) >= 0.1 else "insufficient")
        assert not point.reliable


def test_set_a_at_every_threshold() -> None:
    table = GOLDEN["A.table"]
    for threshold, rates in table.items():
        point = at_threshold(SET_A, float(threshold))
        assert [point.fmr, point.fnmr] == pytest.approx(rates, abs=1e-12)
    curve = roc(SET_A)
    assert curve.exact
    assert np.column_stack([curve.fmr, curve.fnmr])[:-1] == pytest.approx(np.array(list(table.values())))
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("target", "bar", "fmr", "tar"),
    [(0.1, 0, 0.10, 1), (0.05, 1, 0.04, 0.75), (0.03, 2, 0.01, 0.5), (0.01, 2, 0.01, 0.5), (0.005, 3, 0, 0)],
)
def test_discrete_similarities(target: float, bar: float, fmr: float, tar: float) -> None:
    point = at_fmr(DISCRETE, target)
    assert (point.bar, point.fmr, point.tar) == (bar, fmr, tar)


def test_area_and_distance() -> None:
    assert auc(SET_A) == pytest.approx(GOLDEN["A.auc_mw"], abs=1e-12)
    assert d_prime(SET_A) == pytest.approx(GOLDEN["A.dprime_ddof1"], abs=1e-12)
    assert d_prime(SET_A) == pytest.approx(1.765470, abs=1e-6)
    assert d_prime(SET_A, ddof=0) == pytest.approx(GOLDEN["A.dprime_ddof0"], abs=1e-12)
    assert d_prime(SET_A, ddof=0) == pytest.approx(1.896182, abs=1e-6)
    assert [MATED.mean(), NONMATED.mean()] == pytest.approx(GOLDEN["A.means"][:2])


def test_equal_error_rates() -> None:
    midpoint = eer(SET_A, "midpoint")
    value, threshold, _, _ = GOLDEN["A.eer_mid_at_min_gap"]
    assert (midpoint.value, midpoint.threshold) == (pytest.approx(value, abs=1e-12), threshold)
    assert eer(SET_A, "interpolated").value == pytest.approx(GOLDEN["A.eer_linear_interp"], abs=1e-12)
    hull = eer(SET_A)
    assert (hull.method, hull.threshold) == ("rocch", None)
    assert hull.value == pytest.approx(GOLDEN["A.eer_rocch"][0], abs=1e-12)


@pytest.mark.parametrize("counts", GOLDEN["B.wilson"])
def test_intervals(counts: str) -> None:
    errors, trials = map(int, counts.split("/"))
    wilson, exact = intervals.wilson(errors, trials), intervals.clopper_pearson(errors, trials)
    assert [wilson.low, wilson.high] == pytest.approx(GOLDEN["B.wilson"][counts], rel=1e-9)
    assert [exact.low, exact.high] == pytest.approx(GOLDEN["B.clopper"][counts], rel=1e-9)


@pytest.mark.parametrize(
    ("errors", "trials", "wilson", "clopper"),
    [
        (0, 10, (0, 0.277533), (0, 0.308497)),
        (1, 10, (0.017876, 0.404150), (0.002529, 0.445016)),
        (5, 6, (0.436497, 0.969947), (0.358765, 0.995789)),
        (3, 1000, (0.001021, 0.008783), (0.000619, 0.008742)),
    ],
)
def test_intervals_as_printed(errors: int, trials: int, wilson: tuple, clopper: tuple) -> None:
    got = intervals.wilson(errors, trials)
    assert (got.low, got.high) == pytest.approx(wilson, abs=5.1e-7)
    got = intervals.clopper_pearson(errors, trials)
    assert (got.low, got.high) == pytest.approx(clopper, abs=5.1e-7)


def test_rule_of_three_and_of_thirty() -> None:
    for trials, (rough, exact) in GOLDEN["B.rule3"].items():
        assert intervals.rule_of_three(int(trials)) == pytest.approx(rough, rel=1e-12)
        assert intervals.upper_bound(0, int(trials)) == pytest.approx(exact, rel=1e-9)
    for rate, needed in GOLDEN["B.rule30_needed_impostors"].items():
        assert intervals.trials_for_thirty(rate) == intervals.trials_for_thirty(float(rate)) == needed
    assert GOLDEN["B.rule30_90pct_rel"] == pytest.approx(1.6449 / intervals.RELIABLE_ERRORS**0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("trials", "target", "naive", "safe"),
    [
        (1_000_000, 1e-5, 10, 4),
        (3_000_000, 1e-6, 3, 0),
        (10_000_000, 1e-6, 10, 4),
        (30_000_000, 1e-6, 30, 20),
        (300_000, 1e-4, 30, 20),
        (1_000_000, 1e-6, 1, None),
    ],
)
def test_safe_counts(trials: int, target: float, naive: int, safe: int | None) -> None:
    assert allowed(target, trials) == naive
    assert intervals.largest_safe(trials, target) == safe


@pytest.mark.parametrize("case", GOLDEN["T.floor traps"])
def test_floor_traps(case: str) -> None:
    target, trials = case.split("*")
    binary, exact = GOLDEN["T.floor traps"][case]
    assert int(float(target) * int(trials)) == binary
    assert allowed(float(target), int(trials)) == allowed(target, int(trials)) == exact


def test_subject_bootstrap() -> None:
    mated = [(0, 0.9), (0, 0.8), (1, 0.4), (2, 0.7), (3, 0.6)]
    nonmated = [(0, 1, 0.6), (0, 2, 0.5), (0, 3, 0.2), (1, 2, 0.1), (1, 3, 0.3), (2, 3, 0.55)]
    subjects = np.array([(s, s) for s, _ in mated] + [(a, b) for a, b, _ in nonmated])
    values = np.array([v for _, v in mated] + [v for _, _, v in nonmated])
    scores = Scores.of(values, np.arange(len(values)) < len(mated), subjects=subjects)
    want = GOLDEN["B.vertex_bootstrap"]
    assert weighted_rates(scores, np.array([2, 0, 1, 1]), 0.5) == pytest.approx((want["fnmr"], want["fmr"]))
    assert weighted_rates(scores, np.ones(4, int), 0.5) == pytest.approx(tuple(want["plain"]))


def test_spread_is_not_the_standard_error() -> None:
    accuracies = np.array([0.995, 0.9967, 0.9983, 1, 0.9967, 0.995, 0.9983, 1, 0.9967, 0.9983])
    got, want = Folds.of(accuracies, np.zeros(10)), GOLDEN["H.lfw"]
    assert got.mean == pytest.approx(want["mean"], abs=1e-15)
    assert got.spread == pytest.approx(want["std_ddof0_verification_py"], abs=1e-15)
    assert got.standard_error == pytest.approx(want["SE"], abs=1e-15)
    assert got.spread == pytest.approx(3 * got.standard_error)


def test_folds_of_insightface() -> None:
    with np.load(HERE / "verification_parity.npz") as archive:
        golden = {name: archive[name] for name in archive.files}
    embeddings = golden["ver_emb"]
    got = insightface_folds(embeddings[0::2], embeddings[1::2], golden["ver_same"])
    np.testing.assert_allclose(got.accuracies, golden["ver_acc"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.tpr, golden["ver_tpr"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.fpr, golden["ver_fpr"], rtol=0, atol=1e-12)


def synthetic_pairs(seed: int, n: int = 6000, d: int = 512, noise: float = 2.35) -> tuple[np.ndarray, ...]:
    """Unit embeddings (n, d) of both sides and labels (n,), ten folds, each with the mated pairs first."""
    random = np.random.default_rng(seed)
    mated = np.tile(np.repeat([True, False], n // 20), 10)
    person = random.normal(size=(n, d))
    a = person + noise * random.normal(size=(n, d))
    b = np.where(mated[:, None], person, random.normal(size=(n, d)))
    b += noise * random.normal(size=(n, d))
    sides = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (a, b))
    return *sides, mated


FOLDS = [  # seed, insightface: mean, spread, threshold; strict: mean, standard error, thresholds
    (0, 0.958667, 0.006574, (1.840, 1.840), 0.957167, 0.002371, (1.8379, 1.8446)),
    (1, 0.957500, 0.008308, (1.840, 1.850), 0.958167, 0.002551, (1.8430, 1.8479)),
    (2, 0.960500, 0.006874, (1.840, 1.850), 0.960167, 0.002310, (1.8378, 1.8500)),
]


@pytest.mark.parametrize("row", FOLDS, ids=lambda row: f"seed {row[0]}")
def test_table_of_folds(row: tuple) -> None:
    seed, mean, spread, distances, strict_mean, standard_error, strict_distances = row
    a, b, mated = synthetic_pairs(seed)
    compat = insightface_folds(a, b, mated)
    assert (compat.mean, compat.spread) == pytest.approx((mean, spread), abs=1e-6)
    assert (compat.thresholds.min(), compat.thresholds.max()) == pytest.approx(distances, abs=1e-9)
    strict = strict_folds(np.einsum("nd,nd->n", a, b), mated, np.repeat(np.arange(10), len(mated) // 10))
    assert (strict.mean, strict.standard_error) == pytest.approx((strict_mean, standard_error), abs=1e-6)
    # Of unit length: squared distance 2 − 2 cos.
    got = 2 - 2 * strict.thresholds
    assert (got.min(), got.max()) == pytest.approx(strict_distances, abs=5.1e-5)


def test_a_file_that_is_not_in_the_order_of_its_folds() -> None:
    a, b, mated = synthetic_pairs(0)
    order = np.argsort(~mated, kind="stable")
    got = insightface_folds(a[order], b[order], mated[order])
    assert got.mean == pytest.approx(0.94917, abs=5.1e-6)


def test_exact_decimals() -> None:
    assert intervals.exact(0.29) == intervals.exact("0.29") == Fraction(29, 100)
