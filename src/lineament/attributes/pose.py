"""Head pose from 68 points in space.

An affine camera is fitted that carries a mean face onto the landmarks (least squares); its first two rows,
made orthonormal, give the rotation; pitch, yaw and roll are its Euler angles about x, y and z. The mean face
is InsightFace's (MIT licence, see NOTICE).
"""

import json
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Float32


@lru_cache(maxsize=1)
def mean_face() -> Float32[np.ndarray, "68 3"]:
    """The 68 landmarks of a mean face, unit about half a face height."""
    text = resources.files("lineament.attributes").joinpath("mean_face_68.json").read_text("utf-8")
    return np.array(json.loads(text)["points"], np.float32)


def angles(landmarks: Float32[np.ndarray, "n 68 3"]) -> Float32[np.ndarray, "n 3"]:
    """Pitch, yaw and roll in degrees of n faces.

    Args:
        landmarks: pixels; depth in pixels too.
    """
    model = np.concatenate([mean_face().astype(np.float64), np.ones((68, 1))], axis=1)
    # The model is the same for every face, so one pseudo-inverse serves all.
    cameras = np.einsum("kp,npc->nck", np.linalg.pinv(model), landmarks.astype(np.float64))
    first = cameras[:, 0, :3] / np.linalg.norm(cameras[:, 0, :3], axis=1, keepdims=True)
    second = cameras[:, 1, :3] / np.linalg.norm(cameras[:, 1, :3], axis=1, keepdims=True)
    third = np.cross(first, second)
    level = np.hypot(first[:, 0], second[:, 0])
    pitch = np.arctan2(third[:, 1], third[:, 2])
    yaw = np.arctan2(-third[:, 0], level)
    roll = np.arctan2(second[:, 0], first[:, 0])
    # Looking straight up or down, roll and pitch are one motion; all of it is called pitch.
    locked = level < 1e-6
    pitch = np.where(locked, np.arctan2(-second[:, 2], second[:, 1]), pitch)
    roll = np.where(locked, 0.0, roll)
    return np.degrees(np.stack([pitch, yaw, roll], axis=1)).astype(np.float32)
