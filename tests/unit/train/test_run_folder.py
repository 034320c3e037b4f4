"""The folder of a run: one run at a time, the best checkpoint, clearing."""

import json
import os
from pathlib import Path

import pytest
import torch

from lineament.core.errors import CheckpointInvalid, OutputFailed
from lineament.train.parallel import Processes
from lineament.train.run_folder import Best, clear, owned, read_best, write_best

ALONE = Processes(0, 1, torch.device("cpu"))


def test_it_is_made_and_held(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    with owned(run, ALONE):
        assert run.is_dir()
        with pytest.raises(OutputFailed, match="another run is writing into"), owned(run, ALONE):
            pass
        with owned(tmp_path / "runs" / "second", ALONE):
            pass
    with owned(run, ALONE):
        pass


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), owned(tmp_path, ALONE):
        raise KeyError
    with owned(tmp_path, ALONE):
        pass


def test_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputFailed, match="cannot write into"), owned(tmp_path / "run", ALONE):
        pass


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".step-00000004.partial").mkdir()
    (tmp_path / ".step-00000004.partial" / "backbone.safetensors").write_text("half")
    (tmp_path / "step-00000002").mkdir()
    with owned(tmp_path, ALONE):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "step-00000002"]


def write_run(run: Path) -> None:
    for name in ("step-00000001", ".step-00000002.partial", "tensorboard"):
        (run / name).mkdir(parents=True)
        (run / name / "file").write_text("")
    for name in ("log.jsonl", "best.json", "notes.txt", "teacher.safetensors"):
        (run / name).write_text("")


def test_clearing_leaves_what_is_not_the_runs(tmp_path: Path) -> None:
    write_run(tmp_path)
    clear(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "teacher.safetensors"]
    clear(tmp_path / "absent")


def test_a_restart_clears_only_what_it_holds(tmp_path: Path) -> None:
    write_run(tmp_path)
    with owned(tmp_path, ALONE):
        with pytest.raises(OutputFailed), owned(tmp_path, ALONE, restart=True):
            pass
        assert (tmp_path / "step-00000001").exists()
    with owned(tmp_path, ALONE, restart=True):
        assert not (tmp_path / "step-00000001").exists()


def test_the_best(tmp_path: Path) -> None:
    assert read_best(tmp_path) is None
    best = Best("step-00000002", 2, 0.9, 0.8, 0.95, 0.99)
    write_best(tmp_path, best)
    # Somebody removed the checkpoint.
    assert read_best(tmp_path) is None
    (tmp_path / best.checkpoint).mkdir()
    assert read_best(tmp_path) == best
    assert json.loads((tmp_path / "best.json").read_text())["tar"] == 0.9


def test_which_is_better() -> None:
    def of(tar: float, auc: float) -> Best:
        return Best("step-00000002", 2, tar, tar, tar, auc)

    assert of(0.0, 0.5).beats(None)
    assert of(0.9, 0.5).beats(of(0.8, 0.9))
    assert of(0.9, 0.6).beats(of(0.9, 0.5))
    assert not of(0.9, 0.5).beats(of(0.9, 0.5))
    assert not of(0.8, 0.9).beats(of(0.9, 0.5))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"checkpoint": 3}', "\x00"])
def test_a_damaged_choice(tmp_path: Path, text: str) -> None:
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(CheckpointInvalid, match=r"best\.json cannot be read"):
        read_best(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="needs a user whom modes stop")
def test_what_cannot_be_removed(tmp_path: Path) -> None:
    write_run(tmp_path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputFailed, match="cannot clear"):
            clear(tmp_path)
    finally:
        tmp_path.chmod(0o700)
