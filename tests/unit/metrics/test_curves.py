"""Curves, areas and histograms, from all similarities and from the largest with a histogram of the rest."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.metrics.curves import Roc, auc, d_prime, histogram, probit, roc, thinned
from lineament.metrics.scores import Histogram, Scores

MATED = np.array([0.9, 0.8, 0.8, 0.6, 0.5, 0.3])
NONMATED = np.array([0.7, 0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1, 0, 0])


def scores_of(mated: np.ndarray, nonmated: np.ndarray) -> Scores:
    return Scores(mated, np.sort(nonmated)[::-1], len(nonmated))


def random_scores(seed: int = 5, mated: int = 300, nonmated: int = 4000, digits: int = 15) -> Scores:
    random = np.random.default_rng(seed)
    return scores_of(
        np.round(random.normal(0.5, 0.15, mated), digits), np.round(random.normal(0, 0.12, nonmated), digits)
    )


def shortened(scores: Scores, keep: int, bins: int = 64) -> Scores:
    """The same comparisons with the largest non-mated similarities and a histogram from -1 to 1.5."""
    edges = np.linspace(-1, 1.5, bins + 1)
    return Scores(
        mated=scores.mated,
        nonmated=scores.nonmated[:keep],
        nonmated_total=scores.nonmated_total,
        histogram=Histogram(
            low=-1.0,
            high=1.5,
            mated=np.histogram(scores.mated, edges)[0],
            nonmated=np.histogram(scores.nonmated, edges)[0],
        ),
        nonmated_moments=(float(scores.nonmated.mean()), float(scores.nonmated.var())),
    )


def assert_true_at_each_threshold(curve: Roc, scores: Scores) -> None:
    assert (np.diff(curve.threshold) > 0).all()
    for threshold, fmr, fnmr in zip(curve.threshold, curve.fmr, curve.fnmr, strict=True):
        assert fmr == np.count_nonzero(scores.nonmated >= threshold) / scores.nonmated_count
        misses = np.count_nonzero(scores.mated < threshold) + scores.mated_failed
        assert fnmr == misses / scores.mated_count


@pytest.mark.parametrize("digits", [1, 15])
def test_complete_curve(digits: int) -> None:
    scores = random_scores(mated=60, nonmated=300, digits=digits)
    curve = roc(scores)
    assert curve.exact
    assert_true_at_each_threshold(curve, scores)
    values = np.unique(np.concatenate([scores.mated, scores.nonmated]))
    np.testing.assert_array_equal(curve.threshold[:-1], values)
    assert (curve.fmr[0], curve.fnmr[0]) == (1, 0)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0, 1)


def test_curve_with_failed_comparisons_starts_and_ends_off_the_corners() -> None:
    scores = Scores(np.array([0.5, 0.6]), np.array([0.4, 0.1, 0.0]), 3, mated_failed=2, nonmated_failed=1)
    curve = roc(scores)
    assert_true_at_each_threshold(curve, scores)
    assert (curve.fmr[0], curve.fnmr[0]) == (0.75, 0.5)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0, 1)


def test_the_last_threshold_accepts_nothing_in_single_precision() -> None:
    scores = scores_of(MATED.astype(np.float32), NONMATED.astype(np.float32))
    curve = roc(scores)
    assert curve.threshold[-1] == np.nextafter(np.float32(0.9), np.float32(1))
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0, 1)


@pytest.mark.parametrize("keep", [1, 10, 200, 3999])
def test_shortened_curve_lies_on_the_complete_one(keep: int) -> None:
    scores = random_scores()
    curve, whole = roc(shortened(scores, keep)), roc(scores)
    assert not curve.exact
    assert_true_at_each_threshold(curve, scores)
    assert (curve.fmr[0], curve.fnmr[0]) == (1, 0)
    # Above the smallest similarity that was kept nothing is missing.
    above = whole.threshold > scores.nonmated[keep - 1]
    for name in ("threshold", "fmr", "fnmr"):
        tail = getattr(whole, name)[above]
        np.testing.assert_array_equal(getattr(curve, name)[-len(tail) :], tail)


def test_shortened_curve_within_a_run_of_ties() -> None:
    scores = scores_of(MATED, np.array([0.7, 0.55, 0.55, 0.55, 0.2, 0.1, -0.3]))
    curve = roc(shortened(scores, 2, bins=25))
    assert_true_at_each_threshold(curve, scores)
    assert 0.55 not in curve.threshold, "how many of the ties were cut off is unknown"


def test_curve_without_the_rest() -> None:
    scores = random_scores()
    bare = Scores(scores.mated, scores.nonmated[:50], scores.nonmated_total)
    for function in (roc, auc, histogram):
        with pytest.raises(EvidenceInsufficient, match="without a histogram"):
            function(bare)
    with pytest.raises(EvidenceInsufficient, match="mean and variance"):
        d_prime(bare)
    other = Histogram(-1.0, 1.0, np.array([len(scores.mated)]), np.array([3999]))
    wrong = Scores(scores.mated, scores.nonmated[:50], scores.nonmated_total, histogram=other)
    for function in (roc, auc, histogram):
        with pytest.raises(ScoresInvalid, match="3999 non-mated"):
            function(wrong)


@pytest.mark.parametrize("points", [8, 50, 400])
def test_thinned_curve(points: int) -> None:
    curve = roc(random_scores(mated=3000, nonmated=40_000))
    thin = thinned(curve, points)
    assert len(thin.threshold) <= points
    at = np.searchsorted(curve.threshold, thin.threshold)
    for name in ("threshold", "fmr", "fnmr"):
        np.testing.assert_array_equal(getattr(curve, name)[at], getattr(thin, name))
    assert (at[0], at[-1]) == (0, len(curve.threshold) - 1)
    last = int(np.count_nonzero(curve.fmr > 0)) - 1
    assert {last, last + 1} <= set(at.tolist())
    assert thin.fmr[thin.fmr > 0].min() == 1 / 40_000


def test_thinned_curve_is_even() -> None:
    thin = thinned(roc(random_scores(mated=3000, nonmated=40_000)))
    decades = np.log10(thin.fmr[thin.fmr > 0])
    # Four and a half decades of FMR in 198 steps; single comparisons at the end are further apart.
    assert np.abs(np.diff(decades[decades > -2.5])).max() < 0.05
    assert np.diff(thin.fnmr).max() < 0.01


def test_thinned_curve_with_few_points_is_itself() -> None:
    curve = roc(scores_of(MATED, NONMATED))
    assert thinned(curve) is curve
    with pytest.raises(InvalidArgument, match="at least 8"):
        thinned(curve, 7)


@pytest.mark.parametrize("seed", range(20))
def test_area_against_scikit_learn(seed: int) -> None:
    scores = random_scores(seed, mated=1 + 7 * seed, nonmated=300, digits=1 if seed % 2 else 15)
    labels = np.repeat([1, 0], [len(scores.mated), len(scores.nonmated)])
    want = roc_auc_score(labels, np.concatenate([scores.mated, scores.nonmated]))
    assert auc(scores) == pytest.approx(want, abs=1e-12)


def test_area_ranks_failures_last() -> None:
    scores = random_scores(mated=40, nonmated=90)
    some = Scores(scores.mated, scores.nonmated, 90, mated_failed=5, nonmated_failed=7)
    labels = np.repeat([1, 0], [45, 97])
    values = np.concatenate([scores.mated, np.full(5, -9), scores.nonmated, np.full(7, -9)])
    assert auc(some) == pytest.approx(roc_auc_score(labels, values), abs=1e-12)


def test_area_from_a_histogram() -> None:
    scores = random_scores()
    short = shortened(scores, 10)
    assert short.histogram is not None
    binned = [
        np.repeat(short.histogram.centres, side) for side in (short.histogram.mated, short.histogram.nonmated)
    ]
    labels = np.repeat([1, 0], [len(side) for side in binned])
    assert auc(short) == pytest.approx(roc_auc_score(labels, np.concatenate(binned)), abs=1e-12)
    assert auc(shortened(scores, 10, bins=65_536)) == pytest.approx(auc(scores), abs=1e-5)


def test_distance_of_the_means() -> None:
    scores = scores_of(MATED, NONMATED)
    assert d_prime(scores) == pytest.approx(1.765470, abs=1e-6)
    assert d_prime(scores, ddof=0) == pytest.approx(1.896182, abs=1e-6)
    many = random_scores()
    for ddof in (0, 1):
        assert d_prime(shortened(many, 10), ddof) == pytest.approx(d_prime(many, ddof), abs=1e-12)


def test_distance_that_is_undefined() -> None:
    one = scores_of(np.array([0.5]), np.array([0.1, 0.2]))
    with pytest.raises(EvidenceInsufficient, match="no spread"):
        d_prime(one)
    assert d_prime(one, ddof=0) > 0
    with pytest.raises(ScoresInvalid, match="neither kind vary"):
        d_prime(scores_of(np.array([0.5, 0.5]), np.array([0.25, 0.25])))
    with pytest.raises(InvalidArgument, match="ddof"):
        d_prime(one, ddof=2)
    with pytest.raises(ScoresInvalid, match="both kinds"):
        d_prime(Scores(np.empty(0), np.array([0.1]), 1, mated_failed=1))


def test_probit_against_scipy() -> None:
    rates = np.array([1e-6, 1e-3, 0.1, 0.5, 0.975, 1 - 1e-6])
    np.testing.assert_allclose(probit(rates), norm.ppf(rates), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(probit(np.array([0.0, 0.5, 1.0])), [-np.inf, 0, np.inf])


@pytest.mark.parametrize("bins", [1, 7, 200])
def test_histogram_counts_everything(bins: int) -> None:
    scores = random_scores()
    got = histogram(scores, bins, low=-1.0, high=1.5)
    assert (got.low, got.high, len(got.mated)) == (-1, 1.5, bins)
    assert (got.mated.sum(), got.nonmated.sum()) == (len(scores.mated), 4000)
    edges = np.linspace(-1, 1.5, bins + 1)
    np.testing.assert_array_equal(got.mated, np.histogram(scores.mated, edges)[0])
    np.testing.assert_array_equal(got.nonmated, np.histogram(scores.nonmated, edges)[0])


def test_histogram_between_the_ends_of_the_data() -> None:
    scores = random_scores()
    got = histogram(scores)
    assert got.low == min(scores.mated.min(), scores.nonmated.min())
    assert got.high == max(scores.mated.max(), scores.nonmated.max())
    assert (len(got.mated), got.mated.sum(), got.nonmated.sum()) == (200, 300, 4000)
    assert got.mated[-1] >= 1, "the largest similarity is in the last bin"
    same = histogram(scores_of(np.array([0.5]), np.array([0.5])), 3)
    assert (same.low, same.high, same.mated.tolist()) == (0, 1, [0, 1, 0])


@pytest.mark.parametrize("bins", [5, 64, 1000])
def test_histogram_of_shortened_similarities(bins: int) -> None:
    scores = random_scores()
    got = histogram(shortened(scores, 10), bins)
    assert (got.mated.sum(), got.nonmated.sum()) == (300, 4000)
    assert len(got.nonmated) <= min(bins, 64)
    assert got.low <= scores.nonmated.min()
    assert scores.mated.max() <= got.high
    width = got.width + 2.5 / 64
    mean = (got.centres * got.nonmated).sum() / 4000
    assert mean == pytest.approx(scores.nonmated.mean(), abs=width)


def test_histogram_refusals() -> None:
    scores = random_scores()
    with pytest.raises(InvalidArgument, match="at least 1"):
        histogram(scores, 0)
    with pytest.raises(InvalidArgument, match="widen the ends"):
        histogram(scores, low=0.0)
    with pytest.raises(ScoresInvalid, match="no similarity"):
        histogram(Scores(np.empty(0), np.empty(0), 0, mated_failed=1, nonmated_failed=1))


@pytest.mark.parametrize("function", [roc, auc])
def test_one_kind_only(function) -> None:
    with pytest.raises(ScoresInvalid, match="no mated comparison"):
        function(Scores(np.empty(0), np.array([0.3, 0.1]), 2))
