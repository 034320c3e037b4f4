"""`lineament export` on a real checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lineament.cli.main import COMMANDS, main
from lineament.packs.card import sha256_of
from lineament.packs.resolve import open_pack
from lineament.train.backbones import build
from lineament.train.backbones.port import Backbone
from lineament.train.parallel import Processes
from lineament.train.recipe import Recipe
from lineament.train.state import Snapshot, save_snapshot


@pytest.fixture
def checkpoint(tmp_path: Path, recipe: Recipe, make_settled: Callable[..., Backbone]) -> Path:
    torch.manual_seed(0)
    network = make_settled(build(recipe.backbone))
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    snapshot = Snapshot(40, recipe, ["a", "b"], network, optimiser, {}, 0, {}, {})
    return save_snapshot(tmp_path / "run", snapshot, Processes(0, 1, torch.device("cpu")))


@pytest.fixture
def lineament(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setitem(COMMANDS, "export", "Make a pack of a checkpoint.")
    return lambda *words: main([str(word) for word in words])


def test_a_checkpoint_becomes_a_pack(
    lineament: Callable[..., int],
    checkpoint: Path,
    crops: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for row, crop in enumerate(crops[:40]):
        cv2.imwrite(str(faces / f"{row}.png"), crop[..., ::-1])
    out = tmp_path / "mine"
    assert lineament("export", checkpoint, "-o", out, "--crops", faces, "--data-licence", "CC0 faces") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for said in ("same as trained", "ms a face in batches of 32", "lineament calibrate --fmr 1e-4"):
        assert said in " ".join(printed.out.split())
    assert f"--model {out}" in printed.out
    card = open_pack(out).card
    assert card.name == "mine" and card.licence.data == "CC0 faces"
    assert sha256_of(checkpoint / "backbone.safetensors") in card.source
    assert any("64 pictures of noise and 40 crops" in note for note in card.notes)

    assert lineament("export", checkpoint, "-o", out) == 3
    assert "--force" in capsys.readouterr().err
    words = ("export", checkpoint, "-o", out, "--force", "--json", "--int8", faces, "--name", "small")
    assert lineament(*words, "--detector", "none") == 0
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    assert printed.err == "" and figures["name"] == "small" and figures["int8"]["held_out"] == 16
    assert figures["model"]["digest"] == open_pack(out).card.models[0].identity("x").digest
    assert set(figures["milliseconds_per_face"]) == {"1", "32"}
    assert figures["parity"]["template"] < 1e-4


def test_what_is_no_checkpoint(
    lineament: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lineament("export", tmp_path / "nothing", "-o", tmp_path / "p", "--json") == 10
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "checkpoint_invalid"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pairs", "p.csv"), "--int8"),
        (("--int8", "faces", "--images", "x"), "give both"),
        (("--int8", "faces", "--pairs", "p.csv"), "--images"),
        (("--name", "a b"), "cannot be the name"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...],
    said: str,
    lineament: Callable[..., int],
    checkpoint: Path,
    crops: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    cv2.imwrite("faces/0.png", crops[0])
    assert lineament("export", checkpoint, "-o", "out", *words) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_torch(
    lineament: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lineament.cli import export

    monkeypatch.setattr(export, "NEEDED", ("no_such_package",))
    assert lineament("export", tmp_path, "-o", tmp_path / "p") == 6
    assert "lineament[train]" in capsys.readouterr().err
