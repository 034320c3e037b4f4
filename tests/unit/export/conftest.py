"""Small networks with settled statistics, a recipe, and aligned crops made by code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lineament.export.pack import Exported, Wanted, licence_of, make_pack
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store
from lineament.pipeline.recognizer import Recognizer
from lineament.train.backbones.port import Backbone
from lineament.train.recipe import Data, Recipe, part


def settled(network: Backbone, seed: int = 0) -> Backbone:
    """Slopes and statistics as after training: each layer's own, the network in training mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            module.weight.data.uniform_(-0.2, 0.6, generator=generator)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.rand(8, 3, network.size, network.size, generator=generator) * 2 - 1)
    return network


class Odd(nn.Module):
    """Passes its input on in training; what else it does, a test says."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(x)


def small(*more: nn.Module, seed: int = 0, dimension: int = 64) -> Backbone:
    """Convolutions, batch normalisation, PReLU, dropout, and `more` before the last layer."""
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 16, 3, 4, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.PReLU(16),
        nn.Conv2d(16, 32, 3, 4, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.PReLU(32),
        *more,
    )
    tail = nn.Sequential(
        nn.Dropout(0.4), nn.Flatten(), nn.Linear(32 * 49, dimension), nn.BatchNorm1d(dimension)
    )
    return settled(Backbone(body, tail, dimension=dimension), seed)


@pytest.fixture
def make_small() -> Callable[..., Backbone]:
    return small


@pytest.fixture
def make_settled() -> Callable[..., Backbone]:
    return settled


@pytest.fixture
def odd() -> Callable[..., nn.Module]:
    return Odd


@pytest.fixture
def recipe() -> Recipe:
    return a_recipe()


def a_recipe() -> Recipe:
    return Recipe(
        name="tiny_test",
        summary="A network for tests.",
        data=Data(path="nowhere"),
        backbone=part("iresnet18", dimension=64, width=8, reduce=4),
        head=part("arcface"),
        optimiser=part("sgd"),
        schedule=part("constant"),
        batch=8,
        micro_batch=8,
        steps=1,
    )


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def crops(astronaut: np.ndarray, store: Store) -> np.ndarray:
    """96 aligned crops of one face, uint8: shifted, mirrored, darker, blurred."""
    analysis = Recognizer(open_pack(None, store)).inspect(astronaut, colour="rgb")
    assert analysis.crops is not None
    face = analysis.crops.pixels[0].astype(np.float32)
    rng = np.random.default_rng(1)
    made = []
    for _ in range(96):
        moved = np.roll(face, rng.integers(-9, 10, 2), axis=(0, 1))
        moved = moved[:, ::-1] if rng.random() < 0.5 else moved
        moved = moved * rng.uniform(0.4, 1.2) + rng.normal(0, 12, moved.shape)
        made.append(np.clip(moved, 0, 255).astype(np.uint8))
    return np.stack(made)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, store: Store, crops: np.ndarray) -> Exported:
    """A pack of a small network in training mode."""
    folder: Path = tmp_path_factory.mktemp("packs") / "mine"
    wanted = Wanted(name="mine", step=1200, licence=licence_of(), crops=crops[:16], store=store)
    return make_pack(small(), a_recipe(), folder, wanted)
