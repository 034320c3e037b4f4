"""Networks of a few lines behind the runtime's seam, and a detector family that needs no network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.detect.family import Candidates
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, Session


class Told(Session):
    """A session that answers what a function says."""

    def __init__(self, answer: Callable[[np.ndarray], list[np.ndarray]], names: tuple[str, ...] = ()) -> None:
        super().__init__(Network(Path("told.onnx")), RuntimeOptions(threads=1))
        self.answer, self.names = answer, names
        self.seen: list[np.ndarray] = []

    @property
    def device(self) -> str:
        return "told"

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return (None, 3, None, None)

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.names

    def _load(self) -> Any:
        return self

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        self.seen.append(batch)
        return self.answer(batch)


class Squares:
    """A family that finds magenta squares; their score is how white the picture's first pixel is not."""

    name, has_points = "squares", True
    layout = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)

    def __init__(self, stride: int = 8, fixed_size: tuple[int, int] | None = None) -> None:
        self.stride, self.fixed_size = stride, fixed_size
        self.canvases: list[tuple[int, int]] = []

    def candidates(self, canvas: np.ndarray, threshold: float) -> Candidates:
        import cv2

        self.canvases.append(canvas.shape[:2])
        marked = (canvas[..., 0] > 128) & (canvas[..., 1] < 100) & (canvas[..., 2] > 128)
        count, _, stats, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8))
        boxes = stats[1:count, :4].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        size = boxes[:, 2:] - boxes[:, :2]
        scores = 0.5 + size.prod(axis=1) / (2 * canvas.shape[0] * canvas.shape[1])
        points = boxes[:, None, :2] + self.layout * size[:, None]
        keep = scores >= threshold
        return Candidates.gather([boxes[keep]], [points[keep]], [scores[keep]])


@pytest.fixture
def told() -> type[Told]:
    return Told


@pytest.fixture
def squares() -> type[Squares]:
    return Squares


@pytest.fixture
def scene() -> Callable[..., np.ndarray]:
    """A dark picture with magenta boxes x1 y1 x2 y2."""

    def make(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> np.ndarray:
        picture = np.full((*size, 3), 20, np.uint8)
        for x1, y1, x2, y2 in boxes:
            picture[y1:y2, x1:x2] = (250, 10, 250)
        return picture

    return make
