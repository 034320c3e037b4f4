"""`lineament train RECIPE`."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lineament.cli import main

PROGRAM = Path(__file__).parents[1] / "train" / "programs" / "tiny.py"
SHORT = ("--device", "cpu", "--set", "steps=2", "--set", "schedule.kind=constant")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Any = runpy.run_path(str(PROGRAM))["write_people"]
    return write(tmp_path_factory.mktemp("people"))


@pytest.fixture
def train(people: Path, tmp_path: Path) -> Any:
    def go(*arguments: str) -> int:
        out = ["-o", str(tmp_path / "run")]
        return main(["train", f"{PROGRAM}:recipe", "--data", str(people), *out, *SHORT, *arguments])

    return go


def test_a_run_from_beginning_to_end(train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    told = capsys.readouterr()
    assert "batch  24 = 1 processes × 6 micro-batches × 4 pictures" in told.out
    assert "step-00000002: trained for 2 steps" in told.out
    assert f"next: lineament export {tmp_path / 'run'}" in told.out
    assert "step 2/2  loss " in told.err
    # Again: it is finished.
    assert train() == 0
    told = capsys.readouterr()
    assert "the run is finished" in told.err
    assert "loss" not in told.err
    # Anew.
    assert train("--restart") == 0
    assert "step 1/2" in capsys.readouterr().err


def test_json(train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--json") == 0
    last = str(tmp_path / "run" / "step-00000002")
    assert json.loads(capsys.readouterr().out) == {
        "checkpoint": last, "best": last, "step": 2, "finished": True, "skipped": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--set", "stepps=1"), 3, "stepps"),
        (("--set", "steps=many"), 3, "steps = 'many'"),
        (("--set", "steps"), 3, "is not name=value"),
        (("--set", "head.kind=best"), 3, "best"),
        (("--device", "tpu"), 3, "tpu"),
        (("--data", "nowhere"), 4, "nowhere"),
        (("--set", "batch=96"), 4, "72 pictures"),
    ],
)
def test_exit_codes(
    train: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert train(*arguments) == code
    assert message in capsys.readouterr().err


def test_a_recipe_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "recipes.nothing"]) == 3
    assert "no function 'nothing'" in capsys.readouterr().err


def test_a_damaged_checkpoint(train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    path = tmp_path / "run" / "step-00000002" / "backbone.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert train("--set", "steps=3") == 10
    assert "backbone.safetensors has changed" in capsys.readouterr().err


def start(people: Path, run: Path, *arguments: str, before: str = "") -> "subprocess.Popen[str]":
    code = f"{before}\nimport sys\nfrom lineament.cli import main\nsys.exit(main(sys.argv[1:]))"
    program = [sys.executable, "-W", "error", "-c", code, "train", f"{PROGRAM}:recipe"]
    options = ["--data", str(people), "-o", str(run), "--device", "cpu", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*program, *options], env=environment, stdout=pipe, stderr=pipe, text=True)


def losses(run: Path) -> list[float]:
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if row["kind"] == "step"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint(people: Path, tmp_path: Path, number: signal.Signals) -> None:
    """And the same command goes on; the curve is that of a run that was not stopped."""
    run, end = tmp_path / "run", time.monotonic() + 100
    process = start(people, run, "--set", "save_every=0")
    while not (run / "log.jsonl").exists() or len(losses(run)) < 3:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "the same command goes on from" in told
    assert "Traceback" not in told
    (checkpoint,) = run.glob("step-*")
    assert int(checkpoint.name[5:]) == len(losses(run)) < 12
    if number == signal.SIGTERM:
        return
    options = ["--device", "cpu", "--data", str(people), "--set", "save_every=0"]
    assert main(["train", f"{PROGRAM}:recipe", "-o", str(run), *options]) == 0
    assert main(["train", f"{PROGRAM}:recipe", "-o", str(tmp_path / "whole"), *options]) == 0
    assert losses(run) == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)
    assert len(losses(run)) == 12


@pytest.mark.slow
def test_a_full_disk(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit on the size of files stands for it: the log fits, the second checkpoint's network does not."""
    pytest.importorskip("resource")
    run = tmp_path / "run"
    options = ("--set", "steps=2", "--set", "schedule.kind=constant")
    here = ["train", f"{PROGRAM}:recipe", "--data", str(people), "-o", str(run), "--device", "cpu"]
    assert main([*here, *options]) == 0
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    second = start(people, run, *options, "--set", "steps=4", before=limit)
    _, told = second.communicate(timeout=100)
    assert second.returncode == 9, told
    assert "make room, then run the same command" in told
    assert "Traceback" not in told
    assert [p.name for p in run.glob("*step-*")] == ["step-00000002"]
    assert main([*here, *options, "--set", "steps=4"]) == 0
    assert "going on from step-00000002" in capsys.readouterr().err


RECIPE = """
from pathlib import Path
from lineament.train.recipe import Data, Recipe, part

def recipe():
    given = dict(
        name="own", summary="", data=Data(path=Path("nowhere")), backbone=part("mobilefacenet"),
        head=part("arcface"), optimiser=part("sgd", learning_rate=0.1), schedule=part("constant"),
        batch=4, micro_batch=4, steps=1,
    )
    return Recipe(**{**given, %s})
"""


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("", 4, "nowhere"),
        ("'batch': '16'", 3, "batch = '16' must be a whole number"),
        ("'head': 'arcface'", 3, "head = 'arcface' must be a Part"),
        ("'name': '../../evil'", 3, "name = '../../evil' cannot be the name of a folder"),
        ("'name': ''", 3, "no name"),
    ],
)
def test_a_recipe_file_of_the_wrong_types(tmp_path: Path, change: str, code: int, message: str) -> None:
    """In a process of its own, where no type checker of the tests looks first."""
    (tmp_path / "own.py").write_text(RECIPE % change, "utf-8")
    command = [sys.executable, "-m", "lineament", "train", "own.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == code and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_of_recipes_cuts_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    from lineament.recipes import ALL

    assert main(["train", "list"]) == 0
    shown = capsys.readouterr().out.split()
    assert {f"recipes.{name}" for name in ALL} <= set(shown)
