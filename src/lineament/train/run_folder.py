"""The folder of a run: held by one run at a time, and which of its checkpoints is the best."""

import errno
import json
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from lineament.core.errors import CheckpointInvalid, OutputFailed
from lineament.core.files import write_bytes
from lineament.train.parallel import Processes
from lineament.train.state import step_folders

BEST = "best.json"


@dataclass(frozen=True, slots=True)
class Best:
    """The checkpoint with the highest true accept rate on the held-out persons.

    Attributes:
        checkpoint: name of its folder.
        step: of it.
        tar, tar_low, tar_high: what was measured there, with a 95 % interval. It was chosen for being high:
            report another data set, never this.
        auc: area under the ROC, which decides where true accept rates are equal.
    """

    checkpoint: str
    step: int
    tar: float
    tar_low: float
    tar_high: float
    auc: float = 0.0

    def beats(self, other: "Best | None") -> bool:
        """Whether this one is to be chosen; of equal ones the earlier."""
        return other is None or (self.tar, self.auc) > (other.tar, other.auc)


def read_best(run: Path) -> Best | None:
    """The best checkpoint so far, or None; also None when somebody removed it.

    Raises:
        CheckpointInvalid: the file is damaged.
    """
    path = run / BEST
    if not path.is_file():
        return None
    try:
        best = Best(**json.loads(path.read_text(encoding="utf-8")))
        return best if (run / best.checkpoint).is_dir() else None
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error}; remove it to choose anew") from error


def write_best(run: Path, best: Best) -> None:
    """Note the best checkpoint."""
    write_bytes(run / BEST, (json.dumps(asdict(best), indent=1) + "\n").encode())


@contextmanager
def owned(run: Path, processes: Processes, restart: bool = False) -> Generator[None]:
    """Hold the folder, so that two runs cannot write into it at once.

    Args:
        run: made when absent.
        processes: of the run; the first one holds the folder for all.
        restart: remove what an earlier run left, once the folder is held.

    Raises:
        OutputFailed: on every process: it cannot be made or cleared, or another run has it.
    """
    with ExitStack() as stack:
        failure = None
        if processes.first:
            try:
                _take(stack, run, restart)
            except OutputFailed as error:
                failure = error
        (failed,) = processes.any(failure is not None)
        if failed:
            raise failure or OutputFailed(f"the first process of this run cannot use {run}: see its message")
        yield


def _take(stack: ExitStack, run: Path, restart: bool) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
        stream = stack.enter_context((run / ".lock").open("ab"))
    except OSError as error:
        raise OutputFailed(
            f"cannot write into {run}: {error.strerror or error}; name another folder with --out"
        ) from error
    _hold(stream, run)
    if restart:
        clear(run)
    # What a run that was killed while it saved has left; this run's own will be made anew.
    for left in run.glob(".step-*.partial"):
        shutil.rmtree(left, ignore_errors=True)


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
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise OutputFailed(
                f"cannot lock {run}: {error.strerror or error}; name a folder of another disk with --out"
            ) from error
        raise OutputFailed(
            f"another run is writing into {run}: wait for it, or name another folder with --out"
        ) from error


def clear(run: Path) -> None:
    """Remove a run's checkpoints, its choice of the best and its logs; other files stay.

    Raises:
        OutputFailed: something cannot be removed.
    """
    try:
        for folder in (*step_folders(run), *run.glob(".step-*.partial"), run / "tensorboard"):
            if folder.is_dir():
                shutil.rmtree(folder)
        for name in (BEST, "log.jsonl"):
            (run / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputFailed(
            f"cannot clear {run}: {error.strerror or error}; name another folder with --out"
        ) from error
