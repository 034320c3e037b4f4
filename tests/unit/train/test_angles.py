"""Angle statistics: against the formula written out, and at its edges."""

import dataclasses
import math

import numpy as np
import pytest

from lineament.core.errors import ScoresInvalid
from lineament.train import angles
from lineament.train.angles import AngleStatistics, angle_statistics, smallest_angles


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    cos = float(np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b)))
    return math.degrees(math.acos(min(1.0, max(-1.0, cos))))


def slowly(vectors: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> dict[str, float]:
    """Table 3 of the paper, one angle after the other in float64."""
    vectors, centres = vectors.astype(np.float64), centres.astype(np.float64)
    members = {j: [v / np.linalg.norm(v) for v in vectors[labels == j]] for j in set(labels.tolist())}
    mean = {j: sum(of) / len(of) for j, of in members.items()}
    intra = [degrees(v, mean[j]) for j, of in members.items() if len(of) > 1 for v in of]

    def inter(points: list[np.ndarray]) -> float:
        smallest = [min(degrees(a, b) for j, b in enumerate(points) if j != i) for i, a in enumerate(points)]
        return sum(smallest) / len(smallest)

    return {
        "w_ec": sum(degrees(centres[j], m) for j, m in mean.items()) / len(mean),
        "w_inter": inter(list(centres)),
        "intra": sum(intra) / len(intra),
        "intra_with_single": sum(intra) / len(vectors),
        "inter": inter(list(mean.values())),
    }


def some(classes: int, pictures: int, dimension: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Noisy clusters of unequal sizes, raw lengths, out of order; centres that are off."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dimension)).astype(np.float32)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, pictures - classes)])
    rng.shuffle(labels)
    vectors = centres[labels] + 0.7 * rng.standard_normal((pictures, dimension))
    vectors *= rng.uniform(0.1, 30, (pictures, 1))
    centres += 0.5 * rng.standard_normal(centres.shape).astype(np.float32)
    return vectors.astype(np.float32), labels.astype(np.int64), centres * 0.01


@pytest.mark.parametrize(("classes", "pictures", "dimension"), [(2, 5, 2), (7, 30, 3), (60, 300, 32)])
@pytest.mark.parametrize("tile", [4, 7, 2048])
def test_it_is_the_formula(
    classes: int, pictures: int, dimension: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(angles, "TILE", tile)
    vectors, labels, centres = some(classes, pictures, dimension)
    found = angle_statistics(vectors, labels, centres)
    for name, value in slowly(vectors, labels, centres).items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-4), name
    assert (found.pictures, found.classes) == (pictures, classes)
    assert found.single == int((np.bincount(labels) == 1).sum())


def test_angles_worked_out_by_hand() -> None:
    def at(*angle: float) -> np.ndarray:
        turn = np.radians(np.array(angle))
        return np.stack([np.cos(turn), np.sin(turn)], axis=1)

    found = angle_statistics(at(-10, 10, 80, 100, 200), np.array([0, 0, 1, 1, 2]), at(5, 80, 180))
    assert dataclasses.asdict(found) == pytest.approx(
        {
            "w_ec": (5 + 10 + 20) / 3, "w_inter": (75 + 75 + 100) / 3, "intra": 10.0,
            "intra_with_single": 8.0, "inter": (90 + 90 + 110) / 3, "pictures": 5, "classes": 3, "single": 1,
        }
    )  # fmt: skip


def test_without_centres_there_is_nothing_to_say_of_them() -> None:
    vectors, labels, centres = some(5, 20, 4)
    found, known = angle_statistics(vectors, labels), angle_statistics(vectors, labels, centres)
    assert found.w_ec is None and found.w_inter is None
    assert (found.intra, found.inter) == (known.intra, known.inter)


def test_classes_without_pictures_count_among_the_centres_only() -> None:
    vectors, labels, centres = some(6, 30, 4)
    kept = labels != 3
    found = angle_statistics(vectors[kept], labels[kept], centres)
    assert found.classes == 5
    assert found.w_inter == angle_statistics(vectors, labels, centres).w_inter
    others = np.delete(np.arange(6), 3)
    dense = np.searchsorted(others, labels[kept])
    fewer = angle_statistics(vectors[kept], dense, centres[others])
    assert (found.w_ec, found.intra, found.inter) == (fewer.w_ec, fewer.intra, fewer.inter)


def test_one_picture_each() -> None:
    found = angle_statistics(np.eye(3, dtype=np.float32), np.arange(3))
    assert found.intra is None
    assert found.intra_with_single == 0.0
    assert (found.inter, found.single) == (pytest.approx(90.0), 3)


def test_small_angles_keep_their_digits() -> None:
    turn = np.radians(np.array([0.0, 1e-5, 179.99999]))
    unit = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    assert smallest_angles(unit)[:2] == pytest.approx([1e-5, 1e-5], rel=1e-6)
    assert smallest_angles(unit[[0, 2]]) == pytest.approx([179.99999] * 2, abs=1e-9)


def test_many_classes_at_once_are_the_smallest_of_all() -> None:
    rng = np.random.default_rng(1)
    unit = rng.standard_normal((4500, 8))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cos = unit @ unit.T
    np.fill_diagonal(cos, -1.0)
    assert smallest_angles(unit) == pytest.approx(np.degrees(np.arccos(cos.max(axis=1))), abs=1e-4)


GOOD = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("vectors", "labels", "centres", "said"),
    [
        (GOOD, np.array([4, 4, 4]), None, "one class"),
        (GOOD, LABELS[:2], None, "3 embeddings and 2 labels"),
        (GOOD[:0], LABELS[:0], None, "0 embeddings"),
        (GOOD, np.array([0, 1, -1]), None, "label -1"),
        (GOOD, LABELS, GOOD[:1], "label 1 has no class centre among 1"),
        (GOOD, LABELS, np.eye(3), "2 numbers and class centres 3"),
        (GOOD, np.array([0, 1, 0]), None, "the mean embedding of class 0 has length 0"),
        (GOOD * [[1.0], [0.0], [1.0]], LABELS, None, "the embedding of picture 1 has length 0"),
        (GOOD * [[1.0], [1.0], [np.nan]], LABELS, None, "the embedding of picture 2 has length nan"),
        (GOOD, LABELS, GOOD[:2] * [[1.0], [1e-20]], "the class centre 1 has length"),
    ],
)
def test_what_gives_no_angle_is_refused(
    vectors: np.ndarray, labels: np.ndarray, centres: np.ndarray | None, said: str
) -> None:
    with pytest.raises(ScoresInvalid, match=said):
        angle_statistics(vectors, labels, centres)


def test_order_does_not_matter() -> None:
    vectors, labels, centres = some(5, 25, 6)
    found = [angle_statistics(vectors[o], labels[o], centres) for o in (np.arange(25), np.arange(25)[::-1])]
    for name in AngleStatistics.__slots__:
        assert getattr(found[0], name) == pytest.approx(getattr(found[1], name), abs=1e-9)
