"""How YuNet's outputs read."""

from typing import Any

import numpy as np
import pytest

from lineament.core.errors import PackBroken
from lineament.detect.yunet import OUTPUTS, STRIDES, YuNet
from lineament.packs.card import ModelCard

SIDE = 64
NAMES = tuple(f"{kind}_{stride}" for kind in OUTPUTS for stride in STRIDES)
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
CARD = ModelCard("detection", "yunet", "yunet.onnx", "", stride=32, colour="bgr", outputs=12)


def answers(stride: int, cell: int) -> list[np.ndarray]:
    found = {
        f"{kind}_{s}": np.zeros((1, (SIDE // s) ** 2, WIDTHS[kind]), np.float32)
        for kind in OUTPUTS
        for s in STRIDES
    }
    found[f"cls_{stride}"][0, cell] = 0.81
    found[f"obj_{stride}"][0, cell] = 1.44  # clipped to 1
    found[f"bbox_{stride}"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    found[f"kps_{stride}"][0, cell] = np.arange(10) / 10
    return [found[name] for name in NAMES]


@pytest.mark.parametrize(("stride", "cell"), [(8, 9), (16, 6), (32, 3)])
def test_one_cell(told: Any, stride: int, cell: int) -> None:
    """Confidence √(cls·obj), centre (c + dx, r + dy)·stride, sides exp(d)·stride, points like the centre."""
    family = YuNet(CARD, told(lambda _: answers(stride, cell), NAMES))
    found = family.candidates(np.zeros((SIDE, SIDE, 3), np.uint8), 0.6)
    column, row = cell % (SIDE // stride), cell // (SIDE // stride)
    assert found.scores == pytest.approx([0.9])
    middle = np.array([column + 0.5, row + 0.25]) * stride
    half = np.array([2, 3]) * stride / 2
    assert np.allclose(found.boxes[0], [*(middle - half), *(middle + half)])
    points = ([column, row] + np.arange(10).reshape(5, 2) / 10) * stride
    assert np.allclose(found.points[0], points)


def test_outputs_are_found_by_name_and_a_missing_one_is_named(told: Any) -> None:
    shuffled = tuple(reversed(NAMES))
    reordered = YuNet(CARD, told(lambda _: answers(16, 6)[::-1], shuffled))
    assert len(reordered.candidates(np.zeros((SIDE, SIDE, 3), np.uint8), 0.6).scores) == 1
    wrong = YuNet(CARD, told(lambda _: answers(16, 6), ("x", *NAMES[1:])))
    with pytest.raises(PackBroken, match="cls_8"):
        wrong.candidates(np.zeros((SIDE, SIDE, 3), np.uint8), 0.6)


def test_the_network_sees_blue_first(told: Any) -> None:
    session = told(lambda _: answers(16, 6), NAMES)
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    canvas[:] = (10, 20, 30)
    YuNet(CARD, session).candidates(canvas, 0.6)
    assert session.seen[0][0, :, 0, 0].tolist() == [30, 20, 10]
