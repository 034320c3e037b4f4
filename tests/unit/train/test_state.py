"""Checkpoints: whole or not at all, read by name, pruned."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lineament.core.errors import CheckpointInvalid, OutputFailed
from lineament.train import state
from lineament.train.parallel import Processes
from lineament.train.recipe import Recipe
from lineament.train.run_folder import clear

ALONE = Processes(0, 1, torch.device("cpu"))


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def trained(kind: str = "SGD") -> tuple[Net, torch.optim.Optimizer]:
    torch.manual_seed(3)
    network = Net()
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimiser = getattr(torch.optim, kind)(network.parameters(), lr=0.1, **options)
    network.body(torch.randn(5, 3)).sum().backward()
    optimiser.step()
    return network, optimiser


@pytest.fixture
def snapshot(tiny: Callable[..., Recipe]) -> Callable[..., state.Snapshot]:
    def make(step: int = 5, kind: str = "SGD") -> state.Snapshot:
        network, optimiser = trained(kind)
        return state.Snapshot(
            step=step,
            recipe=tiny(),
            classes=("zoë", "b/c", "\udcff"),
            backbone=network,
            optimiser=optimiser,
            sharded={"weight": torch.arange(12.0).view(3, 1, 4), "state.momentum": torch.ones(3, 1, 4)},
            first=0,
            shared={"mean": torch.tensor(20.0)},
            counters={"loss_scale": 1.0, "good_steps": 0, "skipped": 2},
        )

    return make


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_what_was_saved_is_read(snapshot: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    made = snapshot(kind=kind)
    folder = state.save_snapshot(tmp_path, made, ALONE)
    assert folder == state.folder_of(tmp_path, 5)
    assert state.checkpoints(tmp_path) == [folder]
    meta = state.verify(folder)
    assert (meta["step"], meta["classes"], meta["counters"]["skipped"]) == (5, 3, 2)
    assert state.recipe_of(meta, folder) == made.recipe
    assert state.read_classes(folder) == ["zoë", "b/c", "\udcff"]
    ((first, tensors),) = state.shards(folder)
    assert first == 0
    assert torch.equal(tensors["weight"], made.sharded["weight"])
    network = Net()
    optimiser = getattr(torch.optim, kind)(network.parameters(), lr=0.1)
    state.restore_backbone(network, folder)
    state.restore_optimiser(network, optimiser, folder)
    assert all(torch.equal(v, made.backbone.state_dict()[n]) for n, v in network.state_dict().items())
    pairs = ((network, optimiser), (made.backbone, made.optimiser))
    one, other = ([o.state[p] for p in n.parameters()] for n, o in pairs)
    assert len(one) == len(other) == 4
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_copy_beside_the_checkpoints_is_somebody_s_own(
    snapshot: Callable[..., Any], tmp_path: Path
) -> None:
    folder = state.save_snapshot(tmp_path, snapshot(), ALONE)
    for name in ("step-keepme", "step-00000099.copy", "step-99"):
        shutil.copytree(folder, tmp_path / name)
    assert state.checkpoints(tmp_path) == [folder]
    state.prune(tmp_path, 1, None)
    clear(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000099.copy", "step-99", "step-keepme"]


def test_checkpoints_are_in_the_order_of_their_steps(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    for step in (5, 100_000_000):
        state.save_snapshot(tmp_path, replace(snapshot(), step=step), ALONE)
    assert [p.name for p in state.checkpoints(tmp_path)] == ["step-00000005", "step-100000000"]


def test_a_checkpoint_replaces_one_of_the_same_step(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    folder = state.save_snapshot(tmp_path, snapshot(), ALONE)
    (folder / "old").write_text("")
    state.save_snapshot(tmp_path, snapshot(), ALONE)
    assert not (folder / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_an_unfinished_one_is_none(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    state.save_snapshot(tmp_path, snapshot(), ALONE)
    shutil.copytree(state.folder_of(tmp_path, 5), tmp_path / ".step-00000009.partial")
    (tmp_path / "step-00000007").mkdir()
    assert [p.name for p in state.checkpoints(tmp_path)] == ["step-00000005"]
    assert state.checkpoints(tmp_path / "absent") == []


def test_no_room(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; nothing is left, and the older one is whole."""
    resource = pytest.importorskip("resource")
    older = state.save_snapshot(tmp_path, snapshot(4), ALONE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(OutputFailed, match="make room, then run the same command"):
            state.save_snapshot(tmp_path, snapshot(5), ALONE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == [older.name]
    state.verify(older)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="needs a user whom modes stop")
def test_a_folder_that_may_not_be_written(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(OutputFailed):
            state.save_snapshot(tmp_path, snapshot(), ALONE)
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    "name", ["backbone.safetensors", "classes.json", "head.safetensors", "centres-00000-of-00001.safetensors"]
)
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damage_is_named(snapshot: Callable[..., Any], tmp_path: Path, name: str, harm: str) -> None:
    folder = state.save_snapshot(tmp_path, snapshot(), ALONE)
    path = folder / name
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[-1] ^= 1
    path.write_bytes(data[:-1] if harm == "cut" else data)
    if harm == "remove":
        path.unlink()
    with pytest.raises(CheckpointInvalid, match=name):
        state.verify(folder)
    with pytest.raises(CheckpointInvalid, match=name):
        state.load_backbone(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable"),
        ("[]", "not a readable"),
        ('{"schema": 99}', "schema is 99"),
        ('{"schema": 1}', "no "),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CheckpointInvalid, match=r"is not a checkpoint: name a folder such as"):
        state.read_meta(tmp_path)
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(CheckpointInvalid, match=message):
        state.read_meta(tmp_path)


def test_a_recipe_of_another_version(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    folder = state.save_snapshot(tmp_path, snapshot(), ALONE)
    meta = json.loads((folder / "meta.json").read_text())
    meta["recipe"]["unheard"] = 1
    with pytest.raises(CheckpointInvalid, match="unheard"):
        state.recipe_of(meta, folder)


def test_weights_of_another_network() -> None:
    weights = Net().state_dict()
    with pytest.raises(CheckpointInvalid, match=r"here: body\.0\.\w+ has shape"):
        state.put_weights(Net(5), weights, "here")
    lacking = {n: t for n, t in weights.items() if n != "body.1.weight"}
    with pytest.raises(CheckpointInvalid, match=r"here lacks body\.1\.weight"):
        state.put_weights(Net(), lacking, "here")
    with pytest.raises(CheckpointInvalid, match="here has, and the network has not, extra"):
        state.put_weights(Net(), {**weights, "extra": torch.ones(1)}, "here")


def test_state_of_another_optimiser(snapshot: Callable[..., Any], tmp_path: Path) -> None:
    folder = state.save_snapshot(tmp_path, snapshot(), ALONE)
    network = Net()
    with pytest.raises(CheckpointInvalid, match="momentum_buffer of another optimiser"):
        state.restore_optimiser(network, torch.optim.AdamW(network.parameters()), folder)
    other = nn.Linear(1, 1)
    with pytest.raises(CheckpointInvalid, match="which the network has not"):
        state.restore_optimiser(other, torch.optim.SGD(other.parameters(), lr=1.0), folder)


@pytest.mark.parametrize(
    ("keep", "best", "left"),
    [(0, None, [1, 2, 3, 4]), (2, None, [3, 4]), (2, 1, [1, 3, 4]), (1, 4, [4]), (9, None, [1, 2, 3, 4])],
)
def test_pruning(tmp_path: Path, keep: int, best: int | None, left: list[int]) -> None:
    for step in (1, 2, 3, 4):
        folder = state.folder_of(tmp_path, step)
        folder.mkdir()
        (folder / "meta.json").write_text("{}")
    state.prune(tmp_path, keep, None if best is None else state.folder_of(tmp_path, best).name)
    assert [int(p.name[5:]) for p in state.checkpoints(tmp_path)] == left
