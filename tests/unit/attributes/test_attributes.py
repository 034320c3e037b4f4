"""Landmarks, pose, gender and age from known answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.attributes.gender_age import GenderAge
from lineament.attributes.landmarks import Landmarks
from lineament.attributes.pose import angles, mean_face
from lineament.attributes.window import CONTEXT, window_motions
from lineament.core.errors import ModelOutputInvalid
from lineament.core.faces import Faces
from lineament.packs.card import ModelCard, Task
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, Session

BOXES = np.array([[100, 50, 180, 150], [10, 20, 40, 30]], np.float32)
PICTURE = np.zeros((240, 320, 3), np.uint8)


class Told(Session):
    """A session that gives one and the same row for every window."""

    def __init__(self, row: np.ndarray) -> None:
        super().__init__(Network(Path("told.onnx")), RuntimeOptions(threads=1))
        self.row, self.calls = np.asarray(row, np.float32), list[int]()

    device, input_shape, output_names = "told", (None, 3, None, None), ("out",)  # pyright: ignore

    def _load(self) -> Any:
        return self

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        self.calls.append(len(batch))
        return [np.tile(self.row, (len(batch), 1))]


def card(task: Task, side: int, batch: int = 0) -> ModelCard:
    return ModelCard(task, "x", "x.onnx", "", size=(side, side), batch=batch, mean=127.5, std=128.0)


def faces(boxes: np.ndarray = BOXES) -> Faces:
    n = len(boxes)
    return Faces(boxes, np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32))


def test_the_window_is_square_and_half_as_large_again_as_the_box() -> None:
    motions = window_motions(BOXES, 192)
    corners = np.array([[0, 0, 1], [192, 192, 1]], np.float64)
    for motion, box in zip(motions, BOXES, strict=True):
        back = np.linalg.inv(np.vstack([motion, [0, 0, 1]]))
        low, high = (corners @ back.T)[:, :2]
        assert np.allclose((low + high) / 2, (box[:2] + box[2:]) / 2)
        assert np.allclose(high - low, CONTEXT * max(box[2] - box[0], box[3] - box[1]))
    assert np.isfinite(window_motions(np.zeros((1, 4), np.float32), 96)).all()


@pytest.mark.parametrize(("value", "want"), [(0.0, 0.5), (-1.0, 0.0), (1.0, 1.0)])
def test_106_points_are_placed_in_the_picture(value: float, want: float) -> None:
    model = Landmarks(card("landmarks_106", 192), Told(np.full(212, value)))
    said = model.describe(PICTURE, faces())
    assert said.landmarks_106 is not None
    assert said.landmarks_106.shape == (2, 106, 2)
    assert said.landmarks_68 is None
    middle, side = np.array([140, 100]), 150
    assert np.allclose(said.landmarks_106[0], middle + (want - 0.5) * side, atol=1e-3)


def test_68_points_are_the_last_ones_with_depth_in_pixels() -> None:
    vertices = np.zeros((1103, 3))
    vertices[-68:] = [0.1, 0, 0.5]
    model = Landmarks(card("landmarks_68", 192), Told(vertices.ravel()))
    said = model.describe(PICTURE, faces())
    assert said.landmarks_68 is not None
    assert said.pose is not None
    assert said.landmarks_68.shape == (2, 68, 3)
    assert np.allclose(said.landmarks_68[0], [140 + 0.05 * 150, 100, 0.25 * 150], atol=1e-3)


@pytest.mark.parametrize(
    ("pitch", "yaw", "roll"), [(0, 0, 0), (20, 0, 0), (0, -35, 0), (0, 0, 50), (-10, 25, 15)]
)
def test_pose_of_a_turned_mean_face(pitch: float, yaw: float, roll: float) -> None:
    x, y, z = np.radians([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    placed = mean_face() @ (about_z @ about_y @ about_x).T * 80 + [200, 150, 0]
    assert angles(placed[None].astype(np.float32))[0] == pytest.approx([pitch, yaw, roll], abs=1e-2)


def test_pose_of_a_face_looking_straight_down_is_finite() -> None:
    model = mean_face().astype(np.float64)
    down = np.stack([model[:, 2], model[:, 1], -model[:, 0]], axis=1)
    assert np.isfinite(angles(down[None].astype(np.float32))).all()


def test_gender_and_age() -> None:
    said = GenderAge(card("gender_age", 96), Told(np.array([0.1, 0.9, 0.314]))).describe(PICTURE, faces())
    assert said.gender is not None
    assert said.age is not None
    assert said.gender.tolist() == [1, 1]
    assert said.age.tolist() == [31, 31]


@pytest.mark.parametrize(("batch", "calls"), [(0, [2]), (1, [1, 1])])
def test_windows_go_together_where_the_network_takes_several(batch: int, calls: list[int]) -> None:
    session = Told(np.array([1, 0, 0.2]))
    GenderAge(card("gender_age", 96, batch), session).describe(PICTURE, faces())
    assert session.calls == calls


def test_nobody() -> None:
    none = faces(np.zeros((0, 4), np.float32))
    assert GenderAge(card("gender_age", 96), Told(np.zeros(3))).describe(PICTURE, none).age is not None
    dense = Landmarks(card("landmarks_106", 192), Told(np.zeros(212))).describe(PICTURE, none)
    assert dense.landmarks_106 is not None
    assert dense.landmarks_106.shape == (0, 106, 2)
    solid = Landmarks(card("landmarks_68", 192), Told(np.zeros(204))).describe(PICTURE, none)
    assert solid.pose is not None
    assert solid.pose.shape == (0, 3)


def test_too_few_values_are_named() -> None:
    with pytest.raises(ModelOutputInvalid, match="212"):
        Landmarks(card("landmarks_106", 192), Told(np.zeros(200))).describe(PICTURE, faces())
    with pytest.raises(ModelOutputInvalid, match="3"):
        GenderAge(card("gender_age", 96), Told(np.zeros(4))).describe(PICTURE, faces())
    with pytest.raises(ModelOutputInvalid, match="not numbers"):
        GenderAge(card("gender_age", 96), Told(np.array([0, np.nan, 0]))).describe(PICTURE, faces())
