"""How SCRFD's outputs read."""

from typing import Any

import numpy as np
import pytest

from lineament.core.errors import ModelOutputInvalid, PackBroken
from lineament.detect.scrfd import LAYOUTS, Scrfd
from lineament.packs.card import ModelCard

SIDE = 128


def card(outputs: int, **changes: Any) -> ModelCard:
    return ModelCard(
        "detection", "scrfd", "det.onnx", "", stride=32, mean=127.5, std=128.0, outputs=outputs, **changes
    )


def answers(outputs: int, level: int, row: int, score: float = 0.9, rank: int = 2) -> list[np.ndarray]:
    """Outputs for a 128-pixel canvas where one anchor of one level sees a face."""
    maps, anchors, points = LAYOUTS[outputs]
    counts = [(SIDE // (8 << i)) ** 2 * anchors for i in range(maps)]
    scores = [np.zeros((n, 1), np.float32) for n in counts]
    boxes = [np.zeros((n, 4), np.float32) for n in counts]
    kps = [np.zeros((n, 10), np.float32) for n in counts]
    scores[level][row] = score
    boxes[level][row] = [1, 2, 3, 4]
    kps[level][row] = np.arange(10) / 10
    found = scores + boxes + (kps if points else [])
    return [f[None] for f in found] if rank == 3 else found


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(
    ("outputs", "level", "row"), [(6, 0, 37), (9, 1, 37), (10, 2, 5), (15, 4, 0), (15, 0, 17)]
)
def test_one_anchor(told: Any, outputs: int, level: int, row: int, rank: int) -> None:
    """The anchor of cell (c, r) is (c, r)·stride; boxes and points are relative to it, in strides."""
    _, anchors, has_points = LAYOUTS[outputs]
    stride = 8 << level
    cell = row // anchors
    columns = SIDE // stride
    x, y = (cell % columns) * stride, (cell // columns) * stride
    family = Scrfd(card(outputs), told(lambda _: answers(outputs, level, row, rank=rank)))
    found = family.candidates(np.zeros((SIDE, SIDE, 3), np.uint8), 0.5)
    assert found.scores == pytest.approx([0.9])
    want = [x - stride, y - 2 * stride, x + 3 * stride, y + 4 * stride]
    assert found.boxes.tolist() == [want]
    assert family.has_points is has_points
    if has_points:
        offsets = np.arange(10).reshape(5, 2) / 10 * stride
        assert np.allclose(found.points[0], np.array([x, y]) + offsets)
    else:
        assert np.isnan(found.points).all()


def test_the_threshold_is_inclusive(told: Any) -> None:
    family = Scrfd(card(9), told(lambda _: answers(9, 0, 3, score=0.5)))
    blank = np.zeros((SIDE, SIDE, 3), np.uint8)
    assert len(family.candidates(blank, 0.5).scores) == 1
    assert len(family.candidates(blank, 0.5001).scores) == 0


@pytest.mark.parametrize(("colour", "first"), [("rgb", 0), ("bgr", 2)])
def test_what_the_network_sees(told: Any, colour: Any, first: int) -> None:
    session = told(lambda _: answers(9, 0, 3))
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    canvas[:] = (10, 20, 30)
    Scrfd(card(9, colour=colour), session).candidates(canvas, 0.5)
    (blob,) = session.seen
    assert blob.shape == (1, 3, SIDE, SIDE)
    assert blob.dtype == np.float32
    assert blob[0, 0, 0, 0] == pytest.approx(((10, 20, 30)[first] - 127.5) / 128)


def test_a_wrong_number_of_outputs_and_nonsense_are_named(told: Any) -> None:
    with pytest.raises(PackBroken, match="12"):
        Scrfd(card(12), told(lambda _: []))
    broken = answers(9, 0, 3, score=float("nan"))
    with pytest.raises(ModelOutputInvalid, match="not numbers"):
        Scrfd(card(9), told(lambda _: broken)).candidates(np.zeros((SIDE, SIDE, 3), np.uint8), 0.5)


def test_strides_and_sizes(told: Any) -> None:
    assert Scrfd(card(9), told(lambda _: [])).stride == 32
    assert Scrfd(card(15), told(lambda _: [])).stride == 128
    assert Scrfd(card(9), told(lambda _: [])).fixed_size is None
    assert Scrfd(card(9, size=(640, 480)), told(lambda _: [])).fixed_size == (640, 480)
