"""What a run writes down while it goes: `log.jsonl`, one line per event, and TensorBoard's own format."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lineament.core.errors import OutputFailed, RuntimeUnavailable
from lineament.core.files import write_bytes

NAME = "log.jsonl"


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
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise RuntimeUnavailable("training needs the extra: pip install 'lineament[train]'") from error
        self.path = run / NAME
        kept = [row for row in read_rows(self.path) if row["step"] <= step]
        write_bytes(self.path, "".join(_line(row) for row in kept).encode())
        self._stream = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """One row: `kind` is `step`, `validation`, `skipped`, `broken` or `saved`.

        Raises:
            OutputFailed: it cannot be written.
        """
        try:
            self._stream.write(_line({"step": step, "kind": kind, **values}))
            self._stream.flush()
            for name, value in values.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    self._board.add_scalar(f"{kind}/{name}", value, step)
            self._board.flush()
        except OSError as error:
            raise OutputFailed(f"cannot write {self.path}: {error.strerror or error}; make room") from error

    def close(self) -> None:
        """Nothing more comes."""
        self._stream.close()
        self._board.close()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a log; a last line that a kill cut short is passed over."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(cast(dict[str, Any], row))
    return rows


def _line(row: Mapping[str, Any]) -> str:
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(plain, ensure_ascii=False) + "\n"
