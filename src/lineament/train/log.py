"""What a run writes down while it goes: `log.jsonl`, one line per event, and TensorBoard's own format."""

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from lineament.core.errors import OutputFailed, RuntimeUnavailable
from lineament.core.files import write_bytes

NAME = "log.jsonl"
BOARD = "tensorboard"


class Log:
    """Appends rows; after a stop, goes on from the checkpoint's step, without the rows that came after it.

    Args:
        run: folder of the run.
        step: of the checkpoint, 0 for a new run.

    Raises:
        OutputFailed: the folder cannot be written.
        RuntimeUnavailable: tensorboardX is not installed.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / NAME
        kept = [row for row in read_rows(self.path) if row["step"] <= step]
        write_bytes(self.path, "".join(_line(row) for row in kept).encode())
        try:
            self._board = _Board(run / BOARD, step)
            self._stream = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputFailed(f"cannot write {self.path}: {error.strerror or error}; make room") from error

    def add(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """One row: `kind` is `step`, `validation`, `skipped`, `broken` or `saved`.

        Args:
            step: how many steps were made, the one that this is about included.
            kind: of row.
            values: plain ones, for JSON.

        Raises:
            OutputFailed: it cannot be written.
        """
        try:
            self._stream.write(_line({"step": step, "kind": kind, **values}))
            self._stream.flush()
            for name, value in values.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    self._board.add(f"{kind}/{name}", float(value), step)
            self._board.flush()
        except OSError as error:
            raise OutputFailed(
                f"cannot write {self.path}: {error.strerror or error}; make room, then run the same command: "
                "it goes on from the last checkpoint"
            ) from error

    def close(self) -> None:
        """Nothing more comes."""
        # What could not be written was told by `add`; here it would only hide that.
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._board.close()


class _Board:
    """TensorBoard's events, written where they happen.

    tensorboardX's own `SummaryWriter` writes in a thread, which a full disk ends; whoever adds then waits for
    it for ever.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from tensorboardX import record_writer
            from tensorboardX.proto import event_pb2, summary_pb2
        except ImportError as error:
            raise RuntimeUnavailable("training needs the extra: pip install 'lineament[train]'") from error
        # The messages are made when the modules are loaded; no checker of types sees them.
        events, summaries, writers = (
            cast(Any, event_pb2),
            cast(Any, summary_pb2),
            cast(Any, record_writer),
        )
        self._event, self._summary = events.Event, summaries.Summary
        folder.mkdir(exist_ok=True)
        # TensorBoard knows its files by the beginning of the name, and takes them in order of the rest.
        self._writer = writers.RecordWriter(str(folder / f"events.out.tfevents.{time.time():.6f}.{step:08d}"))
        self._write(file_version="brain.Event:2")
        # Tells a reader to forget what an earlier part of the run wrote beyond the checkpoint.
        began = events.SessionLog(status=events.SessionLog.START)
        self._write(step=step + 1, session_log=began)

    def add(self, name: str, value: float, step: int) -> None:
        item = self._summary.Value(tag=name, simple_value=value)
        self._write(step=step, summary=self._summary(value=[item]))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._writer.write(event.SerializeToString())


def reported(run: Path, step: int) -> set[str]:
    """Broken pictures that a run has told of, up to a step: each is told once."""
    rows = read_rows(run / NAME)
    return {str(row["picture"]) for row in rows if row.get("kind") == "broken" and row["step"] <= step}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a log; a last line that a kill cut short is passed over."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(cast(dict[str, Any], row))
    return rows


def _line(row: Mapping[str, Any]) -> str:
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    # ASCII, so that any name of a picture can be in it.
    return json.dumps(plain) + "\n"
