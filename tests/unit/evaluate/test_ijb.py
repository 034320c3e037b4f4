"""Templates compared by a list and searched in two galleries."""

from typing import cast

import numpy as np
import pytest

from lineament.core.errors import ScoresInvalid, TemplateInvalid
from lineament.datasets.ijb import Gallery
from lineament.evaluate import ijb
from lineament.evaluate.ijb import one_to_many, one_to_one
from lineament.evaluate.openset import openset
from lineament.evaluate.pooling import Pooled, pool
from lineament.metrics.operating import at_fmr


def templates(seed: int = 0, count: int = 40, failures: tuple[int, ...] = ()) -> tuple[Pooled, np.ndarray]:
    """Pooled templates of twenty people with numbers that are no rows, and who each is."""
    generator = np.random.default_rng(seed)
    subject = np.arange(count) % 20
    faces = generator.normal(size=(20, 8))
    owner = np.repeat(np.arange(count), 3)
    raw = (faces[subject[owner]] + generator.normal(size=(len(owner), 8))).astype(np.float32)
    raw[np.isin(owner, failures)] = np.nan
    return pool(raw, owner * 11 + 5, np.tile([0, 0, 1], count)), subject


def roster(name: str, rows: np.ndarray, subject: np.ndarray) -> Gallery:
    return Gallery(name, rows * 11 + 5, subject[rows])


def test_one_to_one_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ijb, "STEP", 7)
    pooled, subject = templates(failures=(3, 30))
    generator = np.random.default_rng(1)
    a, b = generator.integers(0, 40, (2, 500))
    a, b = a[a != b], b[a != b]
    same = subject[a] == subject[b]
    whole = roster("all", np.arange(40), subject)
    scores = one_to_one(pooled, a * 11 + 5, b * 11 + 5, same, subjects=whole)
    exact = pooled.vectors.astype(np.float64)
    cosine = (exact[a] * exact[b]).sum(axis=1)
    lost = np.isnan(cosine)
    assert lost.any()
    np.testing.assert_allclose(scores.mated, cosine[same & ~lost], atol=1e-6)
    np.testing.assert_allclose(scores.nonmated, np.sort(cosine[~same & ~lost])[::-1], atol=1e-6)
    assert scores.mated_failed == (same & lost).sum()
    assert scores.nonmated_failed == (~same & lost).sum()
    assert scores.mated_subject is not None
    assert (scores.mated_subject == subject[a][same & ~lost]).all()
    point = at_fmr(scores, 0.1)
    assert point.mated == same.sum()
    left_out = one_to_one(pooled, a * 11 + 5, b * 11 + 5, same, policy="exclude")
    assert left_out.mated_failed == left_out.nonmated_failed == 0
    assert left_out.mated_subject is None


def test_lists_that_do_not_belong_together_are_named() -> None:
    pooled, subject = templates()
    whole = roster("all", np.arange(40), subject)
    one, two, yes = np.array([5]), np.array([16]), np.array([True])
    with pytest.raises(ScoresInvalid, match="the first is 6: the lists"):
        one_to_one(pooled, np.array([6]), two, yes)
    with pytest.raises(ScoresInvalid, match=r"labelled otherwise.*templates 5 and 16"):
        one_to_one(pooled, one, two, yes, subjects=whole)
    with pytest.raises(ScoresInvalid, match="one value for each of 2"):
        one_to_one(pooled, one, two, np.array([True, False]))
    with pytest.raises(ScoresInvalid, match="truth values"):
        one_to_one(pooled, one, two, np.array([1]))
    unscaled = Pooled(pooled.vectors * 2, pooled.template, pooled.images, pooled.failed, 0)
    with pytest.raises(TemplateInvalid, match="not a unit vector"):
        one_to_one(unscaled, one, two, np.array([False]))
    with pytest.raises(ScoresInvalid, match="0 galleries"):
        one_to_many(pooled, (), whole)
    with pytest.raises(ScoresInvalid, match="no non-mated search"):
        one_to_many(pooled, (roster("G", np.arange(20), subject),), whole)


def test_each_gallery_is_searched_by_itself() -> None:
    pooled, subject = templates(4)
    first, second = roster("G1", np.arange(10), subject), roster("G2", np.arange(10, 20), subject)
    probes = roster("probes", np.arange(20, 40), subject)
    both = one_to_many(pooled, (first, second), probes, targets=(0.2,), ranks=(1, 5))
    expected = []
    for gallery in (first, second):
        inside = np.isin(probes.subject, gallery.subject)
        similarity = pooled.vectors[20:].astype(np.float64) @ pooled.vectors[gallery.template // 11].T
        top = np.sort(similarity[~inside].max(axis=1))[::-1]
        bar = top[2]  # a fifth of ten strangers may find somebody
        mate = similarity[np.flatnonzero(inside), probes.subject[inside] - gallery.subject[0]]
        column = probes.subject[inside] - gallery.subject[0]
        hit = (mate > bar) & (similarity[inside].argmax(axis=1) == column)
        expected.append(1 - hit.mean())
        part = both.parts[gallery.name]
        assert (part.points[0].nonmated, part.points[0].mated, part.found.subjects) == (10, 10, 10)
    assert both.results()["points"][0]["fnir"] == pytest.approx(np.mean(expected))
    assert both.results()["points"][0]["fpir"] == 0.2


def test_one_gallery_of_both_is_another_experiment() -> None:
    """Put together, nobody is a stranger: no FPIR, and a rank-1 rate among twice as many people."""
    # People 0 and 1 look alike, and are in different galleries.
    faces = np.array([[1, 0, 0], [0.995, 0.1, 0], [0, 1, 0], [0, 0, 1]])
    seen = np.array([[0.99, 0.14, 0], [1, 0.02, 0], [0, 1, 0], [0, 0, 1]])
    vectors = np.concatenate([faces, seen])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pooled = Pooled(vectors, np.arange(8), np.ones(8, np.int64), np.zeros(0, np.int64), 0)
    subject = np.arange(8) % 4
    galleries = (
        Gallery("G1", np.array([0, 2]), subject[[0, 2]]),
        Gallery("G2", np.array([1, 3]), subject[[1, 3]]),
    )
    probes = Gallery("probes", np.arange(4, 8), subject[4:])
    apart = one_to_many(pooled, galleries, probes, targets=(0.5,), ranks=(1,)).results()
    assert apart["rank_rates"][0]["rate"] == 1.0
    assert apart["points"][0]["nonmated"] == 4
    assert cast(list[int], apart["galleries"]) == [2, 2]
    with pytest.raises(ScoresInvalid, match="no non-mated search"):
        openset(vectors[:4], subject[:4], vectors[4:], subject[4:], targets=(0.5,))
    joined = openset(vectors[:4], subject[:4], vectors[4:], subject[4:], targets=(), ranks=(1,))
    assert joined.rank_rates[0].rate == 0.5


def test_failed_templates_by_policy() -> None:
    pooled, subject = templates(4, failures=(0, 25))
    galleries = (roster("G1", np.arange(10), subject), roster("G2", np.arange(10, 20), subject))
    probes = roster("probes", np.arange(20, 40), subject)
    kept = one_to_many(pooled, galleries, probes, targets=(0.2,), ranks=(10,))
    # In G1 person 0 was not enrolled and the probe of person 5 failed: two misses of ten.
    assert kept.parts["G1"].rank_rates[0].rate == 0.8
    assert kept.parts["G2"].points[0].nonmated == 10
    less = one_to_many(pooled, galleries, probes, targets=(0.2,), ranks=(10,), policy="exclude")
    assert less.parts["G1"].rank_rates[0].mated == 8
    assert less.parts["G2"].points[0].nonmated == 9
    assert any("without a template: 1," in note for note in kept.notes())
