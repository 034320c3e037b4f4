"""What every embedder keeps to, whoever wrote it."""

import numpy as np
import pytest

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument
from lineament.core.ports import Embedder

MANY = 37
"""More than one batch, and no multiple of one."""


@pytest.fixture(scope="module")
def crops(astronaut: np.ndarray) -> Crops:
    """Pieces of a photograph, the first one about the face."""
    rng = np.random.default_rng(7)
    corners = [(60, 165), *rng.integers(0, 400, (MANY - 1, 2)).tolist()]
    pixels = np.stack([astronaut[y : y + 112, x : x + 112] for y, x in corners])
    return as_crops(pixels)


def as_crops(pixels: np.ndarray) -> Crops:
    return Crops(pixels, np.tile(np.eye(2, 3), (len(pixels), 1, 1)))


def test_keeps_the_promise(embedder: Embedder) -> None:
    assert isinstance(embedder, Embedder)
    assert embedder.crop_size == 112
    assert embedder.model.name
    assert len(embedder.model.digest) == 64


def test_gives_unit_vectors_in_single_precision(embedder: Embedder, crops: Crops) -> None:
    templates = embedder.embed(crops)
    assert len(templates) == MANY
    assert templates.vectors.dtype == templates.norms.dtype == np.float32
    assert np.isfinite(templates.vectors).all()
    assert np.abs(np.linalg.norm(templates.vectors.astype(np.float64), axis=1) - 1).max() < 1e-5
    assert (templates.norms > 0).all()
    assert templates.model == embedder.model
    assert not templates.vectors.flags.writeable


def test_many_at_once_equal_one_at_a_time(embedder: Embedder, crops: Crops) -> None:
    together = embedder.embed(crops).vectors
    alone = np.concatenate([embedder.embed(as_crops(crops.pixels[i : i + 1])).vectors for i in range(MANY)])
    assert np.abs(together - alone).max() <= 1e-5


def test_keeps_the_order(embedder: Embedder, crops: Crops) -> None:
    forward = embedder.embed(crops).vectors
    backward = embedder.embed(as_crops(crops.pixels[::-1])).vectors
    assert np.abs(forward - backward[::-1]).max() <= 1e-5


def test_says_the_same_twice(embedder: Embedder, crops: Crops) -> None:
    assert np.array_equal(embedder.embed(crops).vectors, embedder.embed(crops).vectors)


def test_tells_pictures_apart(embedder: Embedder, crops: Crops) -> None:
    likeness = embedder.embed(crops).similarity(embedder.embed(crops))
    assert np.abs(np.diag(likeness) - 1).max() < 1e-5
    assert likeness[~np.eye(MANY, dtype=bool)].max() < 0.9999


def test_takes_none(embedder: Embedder) -> None:
    templates = embedder.embed(as_crops(np.zeros((0, 112, 112, 3), np.uint8)))
    assert len(templates) == 0
    assert templates.model == embedder.model


@pytest.mark.parametrize("shade", [0, 255])
def test_takes_a_blank_crop(embedder: Embedder, shade: int) -> None:
    templates = embedder.embed(as_crops(np.full((1, 112, 112, 3), shade, np.uint8)))
    assert np.isfinite(templates.vectors).all()


@pytest.mark.parametrize("side", [96, 111, 128, 224])
def test_refuses_crops_of_another_size(embedder: Embedder, side: int) -> None:
    with pytest.raises(InvalidArgument, match="crops"):
        embedder.embed(as_crops(np.zeros((1, side, side, 3), np.uint8)))


def test_leaves_the_crops_alone(embedder: Embedder, crops: Crops) -> None:
    before = crops.pixels.copy()
    embedder.embed(crops)
    assert np.array_equal(crops.pixels, before)
