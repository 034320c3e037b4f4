"""Fixtures for every test: where the shared material lies, and pictures made by code."""

import os
from pathlib import Path

# Before torch is loaded. Two test processes of two threads each would fight over two processors; and a sum by
# two threads has another order, whose rounding training makes grow: curves are compared at one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
pytest_plugins = ["tests.servers"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photographs, golden numbers and test models that lies beside the repository.

    It is not part of the project and not on a user's machine; tests that need it are skipped without it.
    """
    place = Path(os.environ.get("LINEAMENT_SHARED", REPOSITORY.parent / "shared"))
    if not (place / "fixtures").is_dir():
        pytest.skip(f"needs the shared material ({place}), which is not here")
    return place


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """NASA's portrait of Eileen Collins (public domain), uint8 (512, 512, 3) RGB, from scikit-image."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut())
