"""The folder of a run: held by one run at a time, and which of its checkpoints is the best."""

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from lineament.core.errors import CheckpointInvalid, OutputFailed
from lineament.core.files import write_bytes
from lineament.train.parallel import Processes

BEST = "best.json"


@dataclass(frozen=True, slots=True)
class Best:
    """The checkpoint with the highest true accept rate on the held-out persons.

    Attributes:
        checkpoint: name of its folder.
        step: of it.
        tar, tar_low, tar_high: what was measured there, with a 95 % interval. It was chosen for being high:
            report another data set, never this.
    """

    checkpoint: str
    step: int
    tar: float
    tar_low: float
    tar_high: float


def read_best(run: Path) -> Best | None:
    """The best checkpoint so far, or None.

    Raises:
        CheckpointInvalid: the file is damaged.
    """
    path = run / BEST
    if not path.is_file():
        return None
    try:
        return Best(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error}; remove it to choose anew") from error


def write_best(run: Path, best: Best) -> None:
    """Note the best checkpoint."""
    write_bytes(run / BEST, (json.dumps(asdict(best), indent=1) + "\n").encode())


@contextmanager
def owned(run: Path, processes: Processes) -> Generator[None]:
    """Hold the folder, so that two runs cannot write into it at once.

    Raises:
        OutputFailed: it cannot be made, or another run has it.
    """
    if not processes.first:
        yield
        return
    try:
        run.mkdir(parents=True, exist_ok=True)
        stream = (run / ".lock").open("ab")
    except OSError as error:
        raise OutputFailed(
            f"cannot write into {run}: {error.strerror or error}; name another folder with --out"
        ) from error
    with stream:
        _hold(stream, run)
        yield


def _hold(stream: BinaryIO, run: Path) -> None:
    # The operating system lets go when the process ends, however it ends.
    try:
        try:
            import fcntl
        except ImportError:
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  (Windows)
        else:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutputFailed(
            f"another run is writing into {run}: wait for it, or name another folder with --out"
        ) from error


def clear(run: Path) -> None:
    """Remove a run's checkpoints, its choice of the best and its logs; other files stay.

    Raises:
        OutputFailed: something cannot be removed.
    """
    try:
        for folder in (*run.glob("step-*"), *run.glob(".step-*"), run / "tensorboard"):
            if folder.is_dir():
                shutil.rmtree(folder)
        for name in (BEST, "log.jsonl"):
            (run / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputFailed(
            f"cannot clear {run}: {error.strerror or error}; name another folder with --out"
        ) from error
