"""Normalisation against a cohort: pair by pair, as a matrix, and what it refuses."""

import math

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.cohorts import FLOOR, as_norm, s_norm, t_norm, z_norm

RNG = np.random.default_rng(11)
PROBES, REFERENCES, COHORT = 4, 3, 20
SIMILARITY = RNG.normal(size=(PROBES, REFERENCES))
OF_PROBES, OF_REFERENCES = RNG.normal(size=(PROBES, COHORT)), RNG.normal(size=(REFERENCES, COHORT))


@pytest.mark.parametrize("ddof", [0, 1])
def test_a_matrix_is_its_pairs(ddof: int) -> None:
    z = z_norm(SIMILARITY, OF_REFERENCES, ddof)
    t = t_norm(SIMILARITY, OF_PROBES[:, None], ddof)
    s = s_norm(SIMILARITY, OF_REFERENCES, OF_PROBES[:, None], ddof)
    for p in range(PROBES):
        for g in range(REFERENCES):
            by_z = (SIMILARITY[p, g] - OF_REFERENCES[g].mean()) / OF_REFERENCES[g].std(ddof=ddof)
            by_t = (SIMILARITY[p, g] - OF_PROBES[p].mean()) / OF_PROBES[p].std(ddof=ddof)
            assert (z[p, g], t[p, g], s[p, g]) == pytest.approx((by_z, by_t, (by_z + by_t) / 2))


def test_listed_comparisons() -> None:
    p, g = np.array([0, 3, 1]), np.array([2, 2, 0])
    listed = s_norm(SIMILARITY[p, g], OF_REFERENCES[g], OF_PROBES[p])
    np.testing.assert_allclose(listed, s_norm(SIMILARITY, OF_REFERENCES, OF_PROBES[:, None])[p, g])


@pytest.mark.parametrize("top", [1, 2, 7, COHORT])
def test_each_side_takes_its_own_nearest(top: int) -> None:
    found = as_norm(SIMILARITY, OF_REFERENCES, OF_PROBES[:, None], top)
    near_references = np.sort(OF_REFERENCES, axis=1)[:, -top:]
    near_probes = np.sort(OF_PROBES, axis=1)[:, -top:]
    np.testing.assert_allclose(found, s_norm(SIMILARITY, near_references, near_probes[:, None]))


def test_the_whole_cohort_is_s_norm_and_sides_may_differ_in_size() -> None:
    whole = as_norm(SIMILARITY, OF_REFERENCES, OF_PROBES[:, None], COHORT)
    np.testing.assert_allclose(whole, s_norm(SIMILARITY, OF_REFERENCES, OF_PROBES[:, None]))
    uneven = as_norm(SIMILARITY, OF_REFERENCES[:, :5], OF_PROBES[:, None], 5)
    assert uneven.shape == SIMILARITY.shape


def test_sides_are_exchangeable() -> None:
    forth = as_norm(0.3, OF_REFERENCES[0], OF_PROBES[0], 5)
    back = as_norm(0.3, OF_PROBES[0], OF_REFERENCES[0], 5)
    assert float(forth) == float(back)


def test_a_cohort_of_equals_is_divided_by_the_floor() -> None:
    assert float(z_norm(0.5, np.full(3, 0.25))) == pytest.approx(0.25 / FLOOR)
    assert float(t_norm(0.5, np.full(3, 0.25), floor=0.5)) == pytest.approx(0.5)
    # One large deviation is not touched.
    assert float(z_norm(3.0, np.array([0.0, 2.0]), floor=0.5)) == 2


def test_float32_is_computed_in_float64() -> None:
    cohort = (1000 + RNG.normal(size=50) * 1e-2).astype(np.float32)
    want = (1000.5 - cohort.astype(np.float64).mean()) / cohort.astype(np.float64).std()
    found = z_norm(np.array([1000.5], np.float32), cohort)
    assert found.dtype == np.float64
    assert float(found[0]) == pytest.approx(want, rel=1e-12)


def test_a_reference_that_is_alike_to_everyone_loses_its_lead() -> None:
    """What it is for: equal similarities, of which one stands out and the other does not."""
    lamb, sheep = np.array([0.1, 0.12, 0.08]), np.array([0.5, 0.52, 0.48])
    found = z_norm(np.array([0.5, 0.5]), np.stack([lamb, sheep]))
    assert found[0] > 20
    assert abs(found[1]) < 1e-9


@pytest.mark.parametrize(
    ("cohort", "ddof"),
    [
        (np.array([0.1, np.nan]), 0),
        (np.array([0.1, np.inf]), 0),
        (np.array([]), 0),
        (np.array([0.1]), 1),
        (np.array(0.1), 0),
        (np.zeros((2, 5)), 0),  # two references for one similarity
    ],
)
def test_bad_cohorts_are_refused(cohort: np.ndarray, ddof: int) -> None:
    with pytest.raises(ScoresInvalid):
        z_norm(0.5, cohort, ddof)
    with pytest.raises(ScoresInvalid):
        as_norm(0.5, cohort, np.array([0.1, 0.2]), top=min(2, ddof + 1) if cohort.size else 1, ddof=ddof)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ScoresInvalid, match="matrix of probes"):
        t_norm(SIMILARITY, OF_PROBES)  # of probes, but standing where references do
    with pytest.raises(ScoresInvalid, match="no 21 members"):
        as_norm(SIMILARITY, OF_REFERENCES, OF_PROBES[:, None], COHORT + 1)


@pytest.mark.parametrize("failed", [np.nan, -np.inf])
def test_a_failed_member_that_would_not_be_chosen_is_refused_all_the_same(failed: float) -> None:
    with pytest.raises(ScoresInvalid, match="finite"):
        as_norm(0.5, np.array([failed, 0.2, 0.3]), np.array([0.1, 0.2]), top=1)
    with pytest.raises(ScoresInvalid, match="finite"):
        as_norm(0.5, np.array([0.1, 0.2]), np.array([failed, 0.2, 0.3]), top=1)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="ddof"):
        z_norm(0.5, np.array([0.1, 0.2]), ddof=2)
    for floor in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidArgument, match="floor"):
            z_norm(0.5, np.array([0.1, 0.2]), floor=floor)
    with pytest.raises(InvalidArgument, match="at least one"):
        as_norm(0.5, np.array([0.1, 0.2]), np.array([0.1, 0.2]), top=0)
