"""Pooling pictures into templates, against the steps written out for one template at a time."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import ScoresInvalid
from lineament.evaluate import pooling
from lineament.evaluate.pooling import pool

# evaluation_golden.json, I.pool: four pictures of three media.
PICTURES = np.array([[3, 4], [6, 8], [0, 2], [5, 0]], np.float32)
MEDIA = np.array([1, 1, 2, 3])
SCORE = np.array([1, 0.5, 1, 0.8])
ONE = np.zeros(4, np.int64)
Weighting = Literal["keep", "unit"]


@pytest.mark.parametrize(
    ("weighting", "score", "expected"),
    [
        ("keep", SCORE, (0.7592566, 0.6507914)),
        ("keep", None, (0.7649112, 0.6441357)),
        ("unit", SCORE, (0.6156440, 0.7880244)),
        ("unit", None, (0.6643638, 0.7474093)),
    ],
)
def test_golden(weighting: Weighting, score: np.ndarray | None, expected: tuple[float, float]) -> None:
    pooled = pool(PICTURES, ONE, MEDIA, score, weighting)
    np.testing.assert_allclose(pooled.vectors, [expected], atol=1e-6)
    assert pooled.images.tolist() == [4]
    assert pooled.images_failed == 0


def by_hand(
    raw: np.ndarray, media: np.ndarray, score: np.ndarray | None, weighting: Weighting
) -> np.ndarray | None:
    """One template, step by step in float64."""
    score = np.ones(len(raw)) if score is None else score
    means = []
    for medium in np.unique(media):
        images = []
        for row, weight in zip(raw[media == medium], score[media == medium], strict=True):
            length = np.linalg.norm(row.astype(np.float64))
            if np.isnan(length) or length == 0 or np.isnan(weight):
                continue
            images.append(row.astype(np.float64) / (length if weighting == "unit" else 1.0) * weight)
        if images:
            means.append(np.mean(images, axis=0))
    total = np.sum(means, axis=0) if means else np.zeros(raw.shape[1])
    length = np.linalg.norm(total)
    return total / length if length > 0 else None


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 60),
    weighting=st.sampled_from(["keep", "unit"]),
    scored=st.booleans(),
)
def test_brute_force(seed: int, count: int, weighting: Weighting, scored: bool) -> None:
    generator = np.random.default_rng(seed)
    raw = generator.normal(size=(count, 5)).astype(np.float32) * generator.uniform(1, 30, (count, 1)).astype(
        "f4"
    )
    raw[generator.random(count) < 0.2] = np.nan
    template = generator.integers(-3, 6, count) * 7
    media = generator.integers(0, 4, count)
    score = generator.random(count) if scored else None
    pooled = pool(raw, template, media, score, weighting)
    assert pooled.template.tolist() == sorted(set(template.tolist()))
    for row, number in enumerate(pooled.template):
        mine = template == number
        expected = by_hand(raw[mine], media[mine], None if score is None else score[mine], weighting)
        if expected is None:
            assert np.isnan(pooled.vectors[row]).all()
            assert number in pooled.failed
        else:
            np.testing.assert_allclose(pooled.vectors[row], expected, atol=1e-6)
            assert number not in pooled.failed
        assert pooled.images[row] == (~np.isnan(raw[mine, 0])).sum()
    assert pooled.images_failed == np.isnan(raw[:, 0]).sum()


def test_order_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    raw = generator.normal(size=(500, 8)).astype(np.float32)
    template, media = generator.integers(0, 40, 500), generator.integers(0, 5, 500)
    whole = pool(raw, template, media)
    shuffled = generator.permutation(500)
    monkeypatch.setattr(pooling, "CHUNK", 16)
    parts = pool(raw[shuffled], template[shuffled], media[shuffled])
    np.testing.assert_allclose(whole.vectors, parts.vectors, atol=1e-7)
    assert (whole.images == parts.images).all()


def test_media_are_of_a_template() -> None:
    """The same medium number in two templates is two media."""
    raw = np.array([[1, 0], [0, 1], [1, 0], [0, 3]], np.float32)
    pooled = pool(raw, np.array([1, 1, 2, 2]), np.array([5, 6, 6, 6]))
    np.testing.assert_allclose(pooled.vectors[0], np.sqrt([0.5, 0.5]), atol=1e-7)
    np.testing.assert_allclose(pooled.vectors[1], np.array([1, 3]) / np.sqrt(10), atol=1e-7)


def test_failures_are_left_out_of_the_mean_and_listed() -> None:
    raw = np.array([[3, 4], [np.nan, 0], [0, 0], [np.nan, np.nan], [1, 0], [-1, 0]], np.float32)
    pooled = pool(raw, np.array([1, 1, 1, 2, 3, 3]), np.array([1, 1, 1, 1, 1, 2]))
    np.testing.assert_allclose(pooled.vectors[0], [0.6, 0.8], atol=1e-7)
    assert np.isnan(pooled.vectors[1:]).all()
    # Template 2 has no usable picture, and the two of template 3 cancel out.
    assert pooled.failed.tolist() == [2, 3]
    assert pooled.images.tolist() == [1, 0, 2]
    assert pooled.images_failed == 3


def test_pictures_that_cancel_within_a_medium_but_for_rounding() -> None:
    raw = np.array([[0.1, 0.7], [0.2, 0.1], [-0.3, -0.8]], np.float64)
    assert pool(raw, np.zeros(3, int), np.zeros(3, int)).failed.tolist() == [0]


def test_a_picture_of_no_weight_counts_in_the_mean_and_a_nan_score_does_not() -> None:
    raw = np.array([[2, 0], [0, 2], [0, 1]], np.float32)
    template, media = np.zeros(3, int), np.array([0, 0, 1])
    zero = pool(raw, template, media, np.array([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(zero.vectors[0], np.sqrt([0.5, 0.5]), atol=1e-7)
    unknown = pool(raw, template, media, np.array([1.0, np.nan, 1.0]))
    np.testing.assert_allclose(unknown.vectors[0], np.array([2, 1]) / np.sqrt(5), atol=1e-7)
    assert unknown.images_failed == 1


def test_bad_input_is_named() -> None:
    with pytest.raises(ScoresInvalid, match="one value for each of 4"):
        pool(PICTURES, ONE[:3], MEDIA)
    with pytest.raises(ScoresInvalid, match="negative"):
        pool(PICTURES, ONE, MEDIA, -SCORE)
    with pytest.raises(ScoresInvalid, match="give one each"):
        pool(PICTURES, ONE, MEDIA, SCORE[:2])
    with pytest.raises(ScoresInvalid, match="infinite"):
        pool(np.where(PICTURES == 4, np.float32(np.inf), PICTURES), ONE, MEDIA)
    with pytest.raises(ScoresInvalid, match="shape"):
        pool(PICTURES[:0], ONE[:0], MEDIA[:0])
    with pytest.raises(ScoresInvalid, match="whole numbers"):
        pool(PICTURES, ONE.astype(float), MEDIA)
