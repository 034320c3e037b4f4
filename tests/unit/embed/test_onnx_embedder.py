"""What a recognition network sees, and what becomes of its answer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument, ModelOutputInvalid, TemplateInvalid
from lineament.embed.onnx import LARGEST_BATCH, OnnxEmbedder
from lineament.packs.card import ModelCard
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, Session

CARD = ModelCard(
    "recognition", "embedding", "rec.onnx", "a" * 64, size=(112, 112), batch=0, mean=127.5, std=128.0
)
CARD = replace(CARD, alignment="arcface-112", dimension=4)


class Told(Session):
    """A session that answers what a function says, and remembers what it saw."""

    def __init__(self, answer: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__(Network(Path("told.onnx")), RuntimeOptions(threads=1))
        self.answer = answer
        self.seen: list[np.ndarray] = []

    device, input_shape, output_names = "told", (None, 3, 112, 112), ("out",)  # pyright: ignore

    def _load(self) -> Any:
        return self

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        self.seen.append(batch)
        return [self.answer(batch)]


def corner(batch: np.ndarray) -> np.ndarray:
    """Three channels of the first pixel, and a constant."""
    return np.concatenate([batch[:, :, 0, 0], np.ones((len(batch), 1), np.float32)], axis=1)


def crops(count: int) -> np.ndarray:
    pixels = np.zeros((count, 112, 112, 3), np.uint8)
    pixels[:, :, :56] = (10, 20, 30)
    pixels[:, :, 56:] = (110, 120, 130)
    pixels[:, 0, 0, 0] = np.arange(count) % 200
    return pixels


@pytest.mark.parametrize(("colour", "order"), [("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])])
def test_normalisation_and_colour_order(colour: Any, order: list[int]) -> None:
    session = Told(corner)
    raw = OnnxEmbedder(replace(CARD, colour=colour), session, "x").raw(crops(1))
    assert session.seen[0].shape == (1, 3, 112, 112)
    want = (np.array([0, 20, 30])[order] - 127.5) / 128
    assert raw[0] == pytest.approx([*want, 1])


def test_mirrored_views_are_added() -> None:
    plain = OnnxEmbedder(CARD, Told(corner), "x").raw(crops(3))
    mirrored = OnnxEmbedder(CARD, Told(corner), "x").raw(np.ascontiguousarray(crops(3)[:, :, ::-1]))
    both = OnnxEmbedder(CARD, Told(corner), "x", "mirrored_sum").raw(crops(3))
    assert np.allclose(both, plain + mirrored)
    assert not np.allclose(plain, mirrored)


@pytest.mark.parametrize(("batch", "calls"), [(1, [1] * 70), (16, [16, 16, 16, 16, 6]), (0, [32, 32, 6])])
def test_batches_are_as_large_as_the_network_takes(batch: int, calls: list[int]) -> None:
    session = Told(corner)
    raw = OnnxEmbedder(replace(CARD, batch=batch), session, "x").raw(crops(70))
    assert [len(blob) for blob in session.seen] == calls
    assert LARGEST_BATCH == 32
    assert np.argsort(raw[:, 0], kind="stable").tolist() == list(range(70)), "order is kept"


def test_templates_are_unit_vectors_with_their_norms() -> None:
    session = Told(lambda batch: np.tile(np.float32([3, 0, 4, 0]), (len(batch), 1)))
    embedder = OnnxEmbedder(CARD, session, "pack/rec")
    templates = embedder.embed(Crops(crops(2), np.zeros((2, 2, 3))))
    assert templates.vectors.tolist() == pytest.approx(np.float32([[0.6, 0, 0.8, 0]] * 2))
    assert templates.norms.tolist() == [5, 5]
    assert templates.model == embedder.model
    assert embedder.crop_size == 112
    assert embedder.alignment == "arcface-112"


def test_everything_that_shapes_a_template_shapes_the_identity() -> None:
    def digest(card: ModelCard = CARD, **how: Any) -> str:
        return OnnxEmbedder(card, Told(corner), "x", **how).model.digest

    others = [
        digest(views="mirrored_sum"),
        digest(precision="bf16"),
        digest(replace(CARD, mean=0.0)),
        digest(replace(CARD, colour="bgr")),
        digest(replace(CARD, sha256="b" * 64)),
        digest(replace(CARD, alignment="arcface-128")),
    ]
    assert len({digest(), *others}) == 7
    assert digest() == digest()
    assert OnnxEmbedder(CARD, Told(corner), "other name").model.digest == digest()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda b: np.zeros((len(b), 5), np.float32), ModelOutputInvalid),
        (lambda b: np.zeros((len(b) + 1, 4), np.float32), ModelOutputInvalid),
        (lambda b: np.zeros((len(b), 4, 1), np.float32), ModelOutputInvalid),
        (lambda b: np.full((len(b), 4), np.nan, np.float32), ModelOutputInvalid),
        (lambda b: np.full((len(b), 4), np.inf, np.float32), ModelOutputInvalid),
        (lambda b: np.zeros((len(b), 4), np.float32), TemplateInvalid),
    ],
)
def test_nonsense_is_named(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        OnnxEmbedder(CARD, Told(answer), "x").embed(Crops(crops(2), np.zeros((2, 2, 3))))


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="arcface-112"):
        OnnxEmbedder(CARD, Told(corner), "x").raw(np.zeros((1, 128, 128, 3), np.uint8))
