"""Several processes over gloo, started by torchrun, and killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineament.cli import main

PROGRAM = Path(__file__).parent / "programs" / "tiny.py"
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
TIMEOUT = 180


def losses(run: Path) -> dict[int, float]:
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows if row["kind"] == "step"}


class Launcher:
    """Starts runs of the tiny recipe."""

    def __init__(self, people: Path, place: Path) -> None:
        self.place = place
        self.started: list[subprocess.Popen[str]] = []
        # Gloo looks for a network interface; there may be none but loopback.
        own = {"TINY_PEOPLE": str(people), "TINY_PIDS": str(place), "GLOO_SOCKET_IFNAME": LOOPBACK}
        self.environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}

    def start(self, processes: int, run: Path, *arguments: str) -> "subprocess.Popen[str]":
        for left in self.place.glob("pid-*"):
            left.unlink()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # torchrun itself warns; only our processes are to be quiet.
        launcher = ["-W", "ignore", "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        where = ["--master-addr", "127.0.0.1", "--master-port", str(port)]
        module = ["-m", "lineament.train", f"{PROGRAM}:recipe", "-o", str(run), "--device", "cpu"]
        process = subprocess.Popen(
            [sys.executable, *launcher, *where, *module, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def alone(self, run: Path, *arguments: str) -> None:
        """One process: this one."""
        data = ["--data", self.environment["TINY_PEOPLE"], "--device", "cpu"]
        assert main(["train", f"{PROGRAM}:recipe", "-o", str(run), *data, *arguments]) == 0

    def run(self, processes: int, run: Path, *arguments: str) -> str:
        process = self.start(processes, run, *arguments)
        _, told = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, told
        return told

    def pid(self, rank: int) -> int:
        return int((self.place / f"pid-{rank}").read_text())

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


@pytest.fixture(scope="module")
def launcher(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    made = Launcher(people, tmp_path_factory.mktemp("processes"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def alone(launcher: Launcher) -> dict[int, float]:
    """The curve of an uninterrupted run on one process."""
    launcher.alone(launcher.place / "alone")
    return losses(launcher.place / "alone")


def until(process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def logged(run: Path) -> int:
    path = run / "log.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.slow
def test_a_killed_process_and_other_numbers_of_them(launcher: Launcher, alone: dict[int, float]) -> None:
    run = launcher.place / "killed"
    process = launcher.start(2, run)
    until(process, (run / "step-00000004" / "meta.json").exists)
    os.kill(launcher.pid(1), signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "fault of lineament" not in told
    assert len(losses(run)) < 12
    three = launcher.place / "three"
    shutil.copytree(run, three)
    launcher.alone(run)
    assert "going on from step-0000000" in launcher.run(3, three)
    for folder, processes in ((run, 1), (three, 3)):
        curve = losses(folder)
        assert curve.keys() == alone.keys()
        assert curve == pytest.approx(alone, abs=1e-4)
        assert len(list((folder / "step-00000012").glob("centres-*"))) == processes
    assert alone[12] < 0.7 * alone[1]


@pytest.mark.slow
def test_a_terminal_that_says_stop(launcher: Launcher, alone: dict[int, float]) -> None:
    """It tells every process, and so does the launcher that was told too: still one request."""
    run = launcher.place / "stopped"
    process = launcher.start(2, run, "--set", "save_every=0")
    until(process, lambda: logged(run) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "stopped at step" in told
    assert "fault of lineament" not in told
    (checkpoint,) = run.glob("step-*")
    assert 2 <= int(checkpoint.name.removeprefix("step-")) < 12
    launcher.alone(run, "--set", "save_every=0")
    assert losses(run) == pytest.approx(alone, abs=1e-4)


@pytest.mark.slow
def test_an_error_ends_all_processes(launcher: Launcher) -> None:
    """What one process refuses must not leave the others waiting."""
    run = launcher.place / "held"
    run.mkdir()
    with (run / ".lock").open("ab") as stream:
        fcntl = pytest.importorskip("fcntl")
        fcntl.flock(stream, fcntl.LOCK_EX)
        process = launcher.start(2, run)
        began = time.monotonic()
        _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    assert time.monotonic() - began < 50
    assert f"lineament: another run is writing into {run}" in told
    assert "lineament: the first process of this run cannot use" in told
    assert "fault of lineament" not in told


@pytest.mark.slow
def test_only_the_first_process_talks(launcher: Launcher, people: Path) -> None:
    """And tells what the others found broken, of which both find some."""
    broken = launcher.place / "people"
    shutil.copytree(people, broken)
    for person in range(12):
        (broken / f"person-{person:02d}" / "0.jpg").write_bytes(b"")
    run = launcher.place / "broken"
    settings = ("--set", "steps=3", "--data", str(broken), "--set", "data.held_out=0.3")
    process = launcher.start(2, run, *settings, "--json")
    out, told = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, told
    assert json.loads(out)["step"] == 3
    assert told.count("step 3/3") == 1
    found = [line for line in told.splitlines() if "cannot be used" in line]
    assert len(found) == len(set(found)) == 8
