"""A subject's own template: the sum of its samples without those that are somebody else's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.gallery.template_of import FEWEST, subject_template


def samples(n: int, seed: int, noise: float = 0.3, d: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(d)
    rows = centre / np.linalg.norm(centre) + noise * rng.standard_normal((n, d)) / np.sqrt(d)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_one_sample_is_its_own_template() -> None:
    rows = samples(1, 1)
    made = subject_template(rows)
    assert made.kept.tolist() == [True]
    np.testing.assert_allclose(made.vector, rows[0], atol=1e-7)


@given(st.integers(1, 12), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_of_good_samples_it_is_the_scaled_sum_whatever_their_order(n: int, seed: int) -> None:
    rows = samples(n, seed)
    made = subject_template(rows)
    assert made.vector.dtype == np.float32 and abs(float(np.linalg.norm(made.vector)) - 1) < 1e-6
    total = rows[made.kept].astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(made.vector, total / np.linalg.norm(total), atol=1e-6)
    assert made.kept.sum() >= (n + 1) // 2, "at least half stay"
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(subject_template(rows[order]).vector, made.vector, atol=1e-6)


@pytest.mark.parametrize("n", [FEWEST, 6, 20])
def test_a_foreign_sample_is_left_out(n: int) -> None:
    rows = np.concatenate([samples(n - 1, 3), samples(1, 4)])
    made = subject_template(rows)
    assert made.kept.tolist() == [True] * (n - 1) + [False]
    np.testing.assert_allclose(made.vector, subject_template(rows[:-1]).vector, atol=1e-6)


def test_with_three_nobody_can_say_which_is_the_odd_one() -> None:
    rows = np.concatenate([samples(2, 3), samples(1, 4)])
    assert subject_template(rows).kept.all()


def test_nearly_equal_samples_all_stay() -> None:
    rows = samples(6, 5, noise=0.001)
    assert subject_template(np.concatenate([rows, samples(6, 5, noise=0.02)[:1]])).kept.all()


def test_opposite_samples_have_no_direction_and_the_first_stands_for_them() -> None:
    row = samples(1, 6)
    np.testing.assert_array_equal(subject_template(np.concatenate([row, -row])).vector, row[0])
