"""The subject bootstrap against copies of comparisons made one draw at a time."""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.metrics.bootstrap import bootstrap_at_fmr, bootstrap_at_threshold, draws, weighted_rates
from lineament.metrics.intervals import Interval
from lineament.metrics.operating import at_fmr, at_threshold
from lineament.metrics.scores import Scores

REPLICATES = 60


def golden() -> Scores:
    mated = [(0, 0.9), (0, 0.8), (1, 0.4), (2, 0.7), (3, 0.6)]
    nonmated = [(0, 1, 0.6), (2, 3, 0.55), (0, 2, 0.5), (1, 3, 0.3), (0, 3, 0.2), (1, 2, 0.1)]
    return Scores(
        mated=np.array([s for _, s in mated]),
        nonmated=np.array([s for _, _, s in nonmated]),
        nonmated_total=6,
        mated_subject=np.array([i for i, _ in mated]),
        nonmated_subjects=np.array([(i, j) for i, j, _ in nonmated]),
    )


def all_pairs(sizes: list[int], digits: int = 2, seed: int = 1, alike: float = 0.0) -> Scores:
    """Every pair of samples of subjects with so many each; subject 0 resembles everyone by `alike`."""
    random = np.random.default_rng(seed)
    subject = np.repeat(np.arange(len(sizes)), sizes)
    pairs = np.array([(subject[i], subject[j]) for i, j in combinations(range(len(subject)), 2)])
    mated = pairs[:, 0] == pairs[:, 1]
    similarity = random.normal(0, 0.15, len(pairs)) + 0.5 * mated
    similarity += alike * ((pairs == 0).any(1) & ~mated) + random.normal(0, 0.1, len(sizes))[pairs].sum(1)
    return Scores.of(np.round(similarity, digits), mated, subjects=pairs)


def shortened(scores: Scores, sizes: list[int], keep: int) -> Scores:
    assert scores.nonmated_subjects is not None
    return Scores(
        mated=scores.mated,
        nonmated=scores.nonmated[:keep],
        nonmated_total=scores.nonmated_total,
        mated_subject=scores.mated_subject,
        nonmated_subjects=scores.nonmated_subjects[:keep],
        samples=np.array(sizes),
    )


def copies(scores: Scores, subjects: int, replicates: int, seed: int) -> Iterator[Scores]:
    """The comparisons of each draw, each as often as it counts."""
    assert scores.mated_subject is not None
    assert scores.nonmated_subjects is not None
    for weight in draws(subjects, replicates, seed):
        mated = [s for s, i in zip(scores.mated, scores.mated_subject, strict=True) for _ in range(weight[i])]
        times = [weight[i] * weight[j] for i, j in scores.nonmated_subjects]
        nonmated = np.repeat(scores.nonmated, times)
        yield Scores(np.array(mated, scores.mated.dtype), nonmated, len(nonmated))


def middle(values: list[float]) -> tuple[float, float]:
    """The smallest values with at least 2.5 % and 97.5 % of the draws up to them."""
    usable = sorted(value for value in values if not math.isnan(value))
    return tuple(usable[math.ceil(share * len(usable) - 1e-9) - 1] for share in (0.025, 0.975))


def ends(interval: Interval) -> tuple[float, float]:
    assert (interval.method, interval.confidence) == ("subject-bootstrap", 0.95)
    return interval.low, interval.high


SIZES = [3, 1, 2, 5, 2, 4, 1, 3]


def test_golden() -> None:
    assert weighted_rates(golden(), np.array([2, 0, 1, 1]), 0.5) == (0, pytest.approx(3 / 5, abs=1e-15))
    assert weighted_rates(golden(), np.ones(4, int), 0.5) == pytest.approx((0.2, 0.5), abs=1e-15)
    # All mated weight is 6: one mated comparison of subject 0 below the threshold counts twice.
    assert weighted_rates(golden(), np.array([2, 0, 1, 1]), 0.85)[0] == pytest.approx(4 / 6)


def test_rates_without_weight_are_not_numbers() -> None:
    fnmr, fmr = weighted_rates(golden(), np.array([4, 0, 0, 0]), 0.5)
    assert fnmr == 0
    assert math.isnan(fmr)


def test_draws() -> None:
    drawn = list(draws(7, 400, 3))
    assert len(drawn) == 400
    assert all(counts.dtype == np.int64 and counts.shape == (7,) and counts.sum() == 7 for counts in drawn)
    # Multinomial: mean 1, variance 1 - 1/7.
    assert np.mean(drawn, axis=0) == pytest.approx(np.ones(7), abs=0.2)
    assert np.var(drawn) == pytest.approx(6 / 7, abs=0.08)
    assert np.array_equal(drawn, list(draws(7, 400, 3)))
    assert not np.array_equal(drawn, list(draws(7, 400, 4)))
    assert np.array_equal(drawn[:10], list(draws(7, 10, 3))), "more draws do not change the first ones"


def test_equal_seeds_give_equal_intervals() -> None:
    scores = all_pairs(SIZES)
    for function, value in ((bootstrap_at_threshold, 0.2), (bootstrap_at_fmr, 0.05)):
        one = function(scores, value, REPLICATES, 5)
        assert one == function(scores, value, REPLICATES, 5)
        assert one != function(scores, value, REPLICATES, 6)
        assert (one.replicates, one.seed) == (REPLICATES, 5)


@pytest.mark.parametrize("digits", [1, 12])
@pytest.mark.parametrize("threshold", [-0.1, 0.2, 0.5])
def test_fixed_threshold_the_slow_way(threshold: float, digits: int) -> None:
    scores = all_pairs(SIZES, digits)
    points = [at_threshold(each, threshold) for each in copies(scores, len(SIZES), REPLICATES, 5)]
    got = bootstrap_at_threshold(scores, threshold, REPLICATES, 5)
    assert ends(got.fmr) == middle([point.fmr for point in points])
    assert ends(got.fnmr) == middle([point.fnmr for point in points])
    assert ends(got.threshold) == (threshold, threshold)
    assert got.fmr.low <= at_threshold(scores, threshold).fmr <= got.fmr.high


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("digits", [1, 12])
@pytest.mark.parametrize("target", [0.29, 0.1, 0.02])
def test_fixed_rate_the_slow_way(target: float, digits: int, dtype: type) -> None:
    plain = all_pairs(SIZES, digits)
    scores = Scores(
        plain.mated.astype(dtype),
        plain.nonmated.astype(dtype),
        plain.nonmated_total,
        mated_subject=plain.mated_subject,
        nonmated_subjects=plain.nonmated_subjects,
    )
    points = [at_fmr(each, target) for each in copies(scores, len(SIZES), REPLICATES, 5)]
    got = bootstrap_at_fmr(scores, target, REPLICATES, 5)
    assert ends(got.fmr) == middle([point.fmr for point in points])
    assert ends(got.fnmr) == middle([point.fnmr for point in points])
    assert ends(got.threshold) == middle([point.threshold for point in points])
    assert got.fmr.high <= target


@pytest.mark.parametrize("digits", [1, 12])
def test_samples_stand_for_what_was_not_kept(digits: int) -> None:
    scores = all_pairs(SIZES, digits)
    short = shortened(scores, SIZES, 100)
    for weight in draws(len(SIZES), 20, 9):
        assert weighted_rates(short, weight, 0.5) == weighted_rates(scores, weight, 0.5)
    assert bootstrap_at_threshold(short, 0.5, 50, 5) == bootstrap_at_threshold(scores, 0.5, 50, 5)
    assert bootstrap_at_fmr(short, 0.02, 50, 5) == bootstrap_at_fmr(scores, 0.02, 50, 5)


def test_one_person_in_more_of_the_largest_than_are_looked_at_first() -> None:
    # In the draws without subject 0 none of the first 2,320 comparisons counts.
    sizes = [40] + 29 * [2]
    scores = all_pairs(sizes, 3, alike=2.0)
    points = [at_fmr(each, 0.001) for each in copies(scores, 30, 40, 5)]
    got = bootstrap_at_fmr(scores, 0.001, 40, 5)
    assert ends(got.threshold) == middle([point.threshold for point in points])
    assert got.threshold.low < scores.nonmated[2319] < got.threshold.high
    with pytest.raises(EvidenceInsufficient, match="2000 largest"):
        bootstrap_at_fmr(shortened(scores, sizes, 2000), 0.001, 40, 5)


def test_intervals_are_wider_than_for_independent_comparisons() -> None:
    scores = all_pairs([4] * 15, 12)
    point = at_threshold(scores, 0.2)
    binomial = 2 * 1.96 * math.sqrt(point.fmr * (1 - point.fmr) / point.nonmated)
    got = bootstrap_at_threshold(scores, 0.2, 200)
    assert got.fmr.high - got.fmr.low > 2 * binomial


def test_the_share_of_failures_is_fixed() -> None:
    plain = golden()
    scores = Scores(
        plain.mated,
        plain.nonmated,
        6,
        mated_subject=plain.mated_subject,
        nonmated_subjects=plain.nonmated_subjects,
        mated_failed=5,
        nonmated_failed=2,
    )
    assert weighted_rates(scores, np.ones(4, int), 0.5) == pytest.approx((6 / 10, 3 / 8))
    assert weighted_rates(scores, np.array([2, 0, 1, 1]), 0.5) == pytest.approx((0.5, 0.6 * 6 / 8))
    # With the failures of non-mated comparisons the allowance of a target grows.
    got = bootstrap_at_fmr(scores, 0.2, 40)
    assert got.fmr.high <= 0.2
    assert got.fnmr.low >= 0.5


def test_subjects_that_occur_nowhere_are_not_drawn() -> None:
    plain = golden()
    assert plain.mated_subject is not None
    assert plain.nonmated_subjects is not None
    scores = Scores(
        plain.mated,
        plain.nonmated,
        6,
        mated_subject=plain.mated_subject * 10,
        nonmated_subjects=plain.nonmated_subjects * 10,
    )
    assert bootstrap_at_threshold(scores, 0.5, 50) == bootstrap_at_threshold(plain, 0.5, 50)
    assert bootstrap_at_fmr(scores, 0.2, 50) == bootstrap_at_fmr(plain, 0.2, 50)


def test_refusals() -> None:
    scores = golden()
    unknown = Scores(scores.mated, scores.nonmated, 6)
    with pytest.raises(ScoresInvalid, match="subjects of the comparisons are unknown"):
        bootstrap_at_threshold(unknown, 0.5)
    with pytest.raises(InvalidArgument, match="0 replicates"):
        bootstrap_at_fmr(scores, 0.1, 0)
    with pytest.raises(InvalidArgument, match="-1 replicates"):
        bootstrap_at_threshold(scores, 0.1, -1)
    with pytest.raises(InvalidArgument, match="not a number"):
        bootstrap_at_threshold(scores, math.nan)
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        bootstrap_at_fmr(scores, 1.5)
    with pytest.raises(EvidenceInsufficient, match="1 subject says nothing"):
        draws(1, 10, 0)
    with pytest.raises(ScoresInvalid, match="3 weights for 4 subjects"):
        weighted_rates(scores, np.ones(3, int), 0.5)
    with pytest.raises(ScoresInvalid, match="whole numbers"):
        weighted_rates(scores, np.ones(4), 0.5)


def test_refused_data() -> None:
    scores = golden()
    same = np.array([(0, 0), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)])
    parts = {"mated_subject": scores.mated_subject, "nonmated_subjects": scores.nonmated_subjects}
    for change, message in (
        ({"nonmated_subjects": same}, "one subject on both sides"),
        ({"mated_subject": np.array([0, 0, -1, 2, 3])}, "negative"),
        ({"samples": np.array([2, 1, 1])}, "3 sample counts for 4"),
        ({"samples": np.array([9, 9, 9, 9])}, "every pair of samples"),
    ):
        with pytest.raises(ScoresInvalid, match=message):
            weighted_rates(Scores(scores.mated, scores.nonmated, 6, **(parts | change)), np.ones(4, int), 0.5)
    with pytest.raises(EvidenceInsufficient, match="not all non-mated comparisons were kept"):
        bootstrap_at_threshold(Scores(scores.mated, scores.nonmated, 7, **parts), 0.5)
    with pytest.raises(ScoresInvalid, match="nothing to draw"):
        bootstrap_at_threshold(Scores(np.empty(0), scores.nonmated, 6, mated_failed=3), 0.5)
