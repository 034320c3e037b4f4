"""Curves of a run as CSV files, for anybody's own figures."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.core.files import write_bytes
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.run import Run

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")


def write_csv(run: Run, folder: Path) -> list[Path]:
    """Write every curve as `<name>.csv` into an existing folder, a column per quantity.

    Rates (`fmr`, `fnmr`, `fpir`, `fnir`, `rate`, `discarded`) are shares from 0 to 1, thresholds are in the
    unit of the run's similarity, `mated` and `nonmated` are counts in the bin `from` … `to`. A field is empty
    where the value is infinite, as is the threshold that accepts nothing.

    Returns:
        What was written.

    Raises:
        DatasetInvalid: a curve has columns of different lengths, or a name that is no name for a file.
        OutputFailed: the folder cannot be written to.
    """
    view = View.of(run)
    written: list[Path] = []
    for name in view.curves.values:
        block = view.curves.block(name)
        columns = {} if block is None else _columns(block)
        if not columns:
            continue
        if not _NAME.fullmatch(name):
            raise DatasetInvalid(
                f"a curve is called {name!r}, which no file may be: the run file was changed"
            )
        path = folder / f"{name}.csv"
        write_bytes(path, _text(columns, f"curves.{name}").encode())
        written.append(path)
    return written


def _columns(block: Fields) -> dict[str, list[Any]]:
    """Lists of numbers and nulls, as they are in the run."""
    lists = {key: value for key, value in block.values.items() if isinstance(value, list)}
    for key in lists:
        block.column(key)  # refuses what is no number
    low, high = block.number("low"), block.number("high")
    if low is None or high is None or "nonmated" not in lists:
        return lists
    edges = [float(edge) for edge in np.linspace(low, high, len(lists["nonmated"]) + 1)]
    return {"from": edges[:-1], "to": edges[1:], **lists}


def _text(columns: dict[str, list[Any]], place: str) -> str:
    if len({len(column) for column in columns.values()}) != 1:
        raise DatasetInvalid(f"the columns of {place} are of different lengths: the run file was changed")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue()
