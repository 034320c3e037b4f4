"""What every detector keeps to, whoever wrote it."""

import numpy as np
import pytest

from lineament.core.faces import Faces
from lineament.core.ports import Detector
from lineament.vision.boxes import intersection_over_union

ODD_SIZES = [(1, 1), (2, 3), (7, 5), (31, 33), (3, 4000), (4000, 3), (333, 517), (100, 641)]
"""(height, width): one pixel, tiny, ribbons, and sides that are no multiples of any stride."""


def check_columns(faces: Faces) -> None:
    n = len(faces)
    assert faces.boxes.shape == (n, 4)
    assert faces.points.shape == (n, 5, 2)
    assert faces.boxes.dtype == faces.points.dtype == faces.scores.dtype == np.float32
    assert np.isfinite(faces.boxes).all()
    assert np.isfinite(faces.points).all()
    assert ((faces.scores > 0) & (faces.scores <= 1)).all()
    assert (np.diff(faces.scores) <= 0).all(), "best first"
    assert (faces.boxes[:, 2:] > faces.boxes[:, :2]).all()
    assert not faces.boxes.flags.writeable


def test_keeps_the_promise(detector: Detector) -> None:
    assert isinstance(detector, Detector)
    assert detector.name


def test_finds_the_face(detector: Detector, picture: np.ndarray, expected: np.ndarray) -> None:
    faces = detector.detect(picture)
    check_columns(faces)
    assert len(faces) >= 1
    assert intersection_over_union(faces.boxes[:1], expected[None])[0, 0] > 0.5
    x1, y1, x2, y2 = faces.boxes[0]
    inside = (faces.points[0] >= [x1, y1]) & (faces.points[0] <= [x2, y2])
    assert inside.all()
    left_eye, right_eye, _, left_mouth, right_mouth = faces.points[0]
    assert left_eye[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert left_eye[1] < left_mouth[1]


def test_finds_it_in_a_picture_of_another_size(
    detector: Detector, picture: np.ndarray, expected: np.ndarray
) -> None:
    """Coordinates are the picture's own, whatever the network's input is."""
    import cv2

    for scale in (0.6, 1.7):
        side = round(512 * scale)
        faces = detector.detect(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))
        wanted = (expected * side / 512).astype(np.float32)[None]
        assert intersection_over_union(faces.boxes[:1], wanted)[0, 0] > 0.5


@pytest.mark.parametrize("shade", [0, 127, 255])
def test_finds_nothing_in_an_empty_picture(detector: Detector, shade: int) -> None:
    faces = detector.detect(np.full((240, 320, 3), shade, np.uint8))
    assert len(faces) == 0
    check_columns(faces)


@pytest.mark.parametrize("size", ODD_SIZES)
def test_takes_any_size(detector: Detector, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    check_columns(detector.detect(noise))


def test_finds_it_where_sides_are_no_multiples_of_the_stride(
    detector: Detector, picture: np.ndarray, expected: np.ndarray
) -> None:
    faces = detector.detect(np.ascontiguousarray(picture[:507, :493]))
    assert intersection_over_union(faces.boxes[:1], expected[None])[0, 0] > 0.5


def test_says_the_same_twice(detector: Detector, picture: np.ndarray) -> None:
    first, second = detector.detect(picture), detector.detect(picture)
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.points, second.points)
    assert np.array_equal(first.scores, second.scores)


def test_leaves_the_picture_alone(detector: Detector, picture: np.ndarray) -> None:
    before = picture.copy()
    detector.detect(picture)
    assert np.array_equal(picture, before)


def test_takes_a_view_of_a_larger_array(detector: Detector, picture: np.ndarray) -> None:
    """A picture cut out of another one, or flipped, is not contiguous in memory."""
    wide = np.concatenate([picture, picture], axis=1)
    view = wide[:, :512]
    assert not view.flags.c_contiguous
    assert np.array_equal(detector.detect(view).boxes, detector.detect(picture).boxes)
