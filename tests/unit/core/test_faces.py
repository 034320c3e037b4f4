"""Columns of faces: slicing keeps rows together, also when some faces have no template."""

import numpy as np
import pytest

from lineament import Faces, ModelId, Templates
from lineament.core.faces import Attributes, Quality

MODEL = ModelId("m", "0" * 64)


def make(n: int = 4, rows: list[int] | None = None) -> Faces:
    rng = np.random.default_rng(1)
    count = n if rows is None else sum(r >= 0 for r in rows)
    return Faces(
        boxes=rng.normal(size=(n, 4)).astype(np.float32),
        points=rng.normal(size=(n, 5, 2)).astype(np.float32),
        scores=np.linspace(1, 0.5, n, dtype=np.float32),
        templates=Templates.from_raw(rng.normal(size=(count, 8)), MODEL),
        template_rows=None if rows is None else np.array(rows),
        quality=Quality(*(np.arange(n, dtype=np.float32) + k for k in range(8))),
        attributes=Attributes(age=np.arange(n)),
    )


def test_take_keeps_rows_together():
    faces = make(5, [0, -1, 1, 2, -1])
    chosen = faces.take(np.array([3, 1, 0]))
    assert [t is None for t in (f.template for f in chosen)] == [False, True, False]
    for new, old in zip(range(3), (3, 1, 0), strict=True):
        assert np.array_equal(chosen[new].box, faces[old].box)
        assert chosen[new].quality == faces[old].quality
        assert int(chosen[new].attributes.age[0]) == old
        ours, theirs = chosen[new].template, faces[old].template
        assert (ours is None) == (theirs is None)
        assert ours is None or np.array_equal(ours.vector, theirs.vector)


def test_take_by_mask():
    faces = make(4)
    chosen = faces.take(np.array([True, False, False, True]))
    assert np.array_equal(chosen.scores, faces.scores[[0, 3]])
    assert np.array_equal(chosen[1].template.vector, faces[3].template.vector)


def test_no_face_is_a_value():
    none = Faces.none()
    assert len(none) == 0
    assert list(none) == []


def test_negative_index_and_out_of_range():
    faces = make(3)
    assert faces[-1].score == pytest.approx(0.5)
    with pytest.raises(IndexError):
        faces[3]


def test_columns_of_different_lengths_are_a_mistake():
    with pytest.raises((ValueError, TypeError)):
        Faces(np.zeros((2, 4), np.float32), np.zeros((3, 5, 2), np.float32), np.zeros(3, np.float32))


def test_scaled_moves_boxes_and_points_only():
    faces = make(2)
    bigger = faces.scaled(2.0)
    # The centre of pixel 0 lies at 0.5 from the edge: twice as large, the same place has the coordinate 0.5.
    assert np.allclose(bigger.boxes, (faces.boxes + 0.5) * 2 - 0.5)
    assert np.allclose(bigger.points, (faces.points + 0.5) * 2 - 0.5)
    assert np.allclose(bigger.scaled(0.5).points, faces.points, atol=1e-5)
    assert np.array_equal(bigger.scores, faces.scores)
    assert faces.scaled(1.0) is faces


def test_quality_spreads_over_faces_that_were_not_measured():
    quality = make(2).quality
    assert quality is not None
    spread = quality.spread(np.array([1, -1, 0]))
    assert np.isnan(spread.sharpness[1])
    assert spread.sharpness[0] == quality.sharpness[1]
