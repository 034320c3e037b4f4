"""The alignment functions of the door."""

import numpy as np
import pytest

from lineament.app import face_align
from lineament.core.errors import InvalidArgument, PointsDegenerate

KPS = face_align.arcface_dst * 2 + 30


def test_points_on_the_template_stay() -> None:
    assert np.allclose(face_align.estimate_norm(face_align.arcface_dst, 112), np.eye(2, 3), atol=1e-5)
    assert np.allclose(
        face_align.estimate_norm(face_align.arcface_dst.tolist(), 256), [[2, 0, 16], [0, 2, 0]], atol=1e-4
    )


@pytest.mark.parametrize("size", [0, -112, 56, 100, 160])
def test_another_size_is_named(size: int) -> None:
    with pytest.raises(InvalidArgument, match="112"):
        face_align.estimate_norm(KPS, size)


def test_another_mode_and_shape_are_named() -> None:
    with pytest.raises(InvalidArgument, match="arcface"):
        face_align.estimate_norm(KPS, 112, "bogus")
    with pytest.raises(InvalidArgument, match=r"\(5, 2\)"):
        face_align.estimate_norm(KPS[:4])


@pytest.mark.parametrize("kps", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_points_that_say_nothing_are_refused(kps: np.ndarray) -> None:
    with pytest.raises(PointsDegenerate):
        face_align.norm_crop(np.zeros((9, 9, 3), np.uint8), kps)


def test_crops_keep_channels_and_their_order(astronaut: np.ndarray) -> None:
    crop, motion = face_align.norm_crop2(astronaut, KPS, 112)
    assert crop.shape == (112, 112, 3)
    assert motion.shape == (2, 3)
    assert np.array_equal(face_align.norm_crop(astronaut[:, :, ::-1].copy(), KPS), crop[:, :, ::-1])
    assert np.array_equal(face_align.norm_crop(astronaut[:, :, 0].copy(), KPS), crop[:, :, 0])


def test_transform_turns_about_the_centre(astronaut: np.ndarray) -> None:
    window, motion = face_align.transform(astronaut, (200, 100), 96, 0.5, 90)
    assert window.shape == (96, 96, 3)
    assert np.allclose(motion @ [200, 100, 1], [48, 48])
    assert np.allclose(motion @ [220, 100, 1], [48, 58])


def test_points_through_a_matrix() -> None:
    motion = np.array([[0.0, -2.0, 5.0], [2.0, 0.0, 7.0]])
    assert face_align.trans_points([[1, 2]], motion).tolist() == [[1, 9]]
    assert face_align.trans_points([[1, 2, 3]], motion).tolist() == [[1, 9, 6]]
    assert face_align.trans_points2d([[1, 2]], motion).dtype == np.float32
    assert face_align.trans_points3d(np.zeros((0, 3)), motion).shape == (0, 3)


@pytest.mark.parametrize(("height", "width"), [(300, 512), (512, 300), (200, 200)])
def test_square_crop(astronaut: np.ndarray, height: int, width: int) -> None:
    crop, scale = face_align.square_crop(astronaut[:height, :width], 128)
    assert crop.shape == (128, 128, 3)
    assert scale == pytest.approx(128 / max(height, width))
    assert crop[: int(height * scale), : int(width * scale)].any()
    assert not crop[int(height * scale) + 1 :].any()
    assert not crop[:, int(width * scale) + 1 :].any()
