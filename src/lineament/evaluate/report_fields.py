"""Reading a run's free-form sections: what is absent is None, what is of the wrong kind is refused."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.evaluate.report_markup import visible
from lineament.evaluate.run import Run


class Fields:
    """A JSON object with its place in the run, so that a complaint can name it.

    Args:
        values: the object.
        place: for example `results.verification`.

    Raises:
        DatasetInvalid: on construction or reading, when a value is of the wrong kind.
    """

    def __init__(self, values: Any, place: str) -> None:
        if not isinstance(values, Mapping):
            raise _wrong(place, values, "an object")
        self.values: Mapping[str, Any] = cast(Mapping[str, Any], values)
        self.place = place

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def number(self, key: str) -> float | None:
        """A finite number, or None."""
        value = self.values.get(key)
        return None if value is None else _number(value, f"{self.place}.{key}")

    def count(self, key: str) -> int | None:
        """A number that counts something, or None."""
        value = self.number(key)
        if value is not None and (value < 0 or value != int(value)):
            raise _wrong(f"{self.place}.{key}", value, "a count")
        return None if value is None else int(value)

    def flag(self, key: str) -> bool | None:
        """True, False, or None."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise _wrong(f"{self.place}.{key}", value, "true or false")
        return value

    def text(self, key: str) -> str:
        """Text that can be shown; a number as it is written; empty when absent."""
        value = self.values.get(key)
        if value is None:
            return ""
        if isinstance(value, (Mapping, list)):
            raise _wrong(f"{self.place}.{key}", value, "a text")
        return visible(str(value))

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty when absent."""
        return [visible(str(value)) for value in self._list(key)]

    def interval(self, key: str) -> tuple[float, float] | None:
        """Two numbers, the smaller first, or None."""
        values = self._list(key)
        if not values or any(value is None for value in values):
            return None
        place = f"{self.place}.{key}"
        if len(values) != 2:
            raise _wrong(place, values, "two numbers")
        low, high = (_number(value, place) for value in values)
        return min(low, high), max(low, high)

    def column(self, key: str) -> np.ndarray:
        """(n,) float64, null as NaN; empty when absent."""
        place = f"{self.place}.{key}"
        return np.array([math.nan if v is None else _number(v, place) for v in self._list(key)], np.float64)

    def block(self, key: str) -> "Fields | None":
        """An object in this one, or None."""
        value = self.values.get(key)
        return None if value is None else Fields(value, f"{self.place}.{key}")

    def blocks(self, key: str) -> "list[Fields]":
        """A list of objects; empty when absent."""
        return [Fields(value, f"{self.place}.{key}[{i}]") for i, value in enumerate(self._list(key))]

    def _list(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(f"{self.place}.{key}", value, "a list")
        return cast(list[Any], value)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A run as a report reads it.

    Attributes:
        kind: which protocol.
        system, data, results, curves, provenance: its sections.
        notes: sentences to be shown beside the numbers.
    """

    kind: str
    system: Fields
    data: Fields
    results: Fields
    curves: Fields
    provenance: Fields
    notes: list[str]

    @classmethod
    def of(cls, run: Run) -> "View":
        """From a run, loaded or just made.

        Raises:
            DatasetInvalid: a section is no object.
        """
        body = Fields(run.to_dict(), "run")
        names = ("system", "data", "results", "curves", "provenance")
        parts = {name: Fields(body.values.get(name), name) for name in names}
        return cls(kind=body.text("kind"), notes=body.texts("notes"), **parts)

    def curve(self, name: str, *columns: str) -> tuple[np.ndarray, ...] | None:
        """Columns of a curve, each (n,) float64; None when the run has no such curve.

        Raises:
            DatasetInvalid: the columns are of different lengths.
        """
        block = self.curves.block(name)
        if block is None:
            return None
        values = tuple(block.column(column) for column in columns)
        if len({len(column) for column in values}) != 1:
            raise DatasetInvalid(
                f"the columns of curves.{name} are of different lengths: the file was changed; evaluate again"
            )
        return values if len(values[0]) else None

    def trials(self, section: str) -> tuple[int | None, int | None]:
        """How many non-mated and mated trials stand behind the rates of a section's curves.

        Operating points know it; a run without them has it from its data, less what its policy left out.
        """
        block = self.results.block(section)
        for point in [] if block is None else block.blocks("points"):
            nonmated, mated = point.count("nonmated"), point.count("mated")
            if nonmated and mated:
                return nonmated, mated
        left_out = self.data.text("failure_policy") == "exclude"
        totals: list[int | None] = []
        for kind in ("nonmated", "mated"):
            total, failed = self.data.count(kind), self.data.count(f"{kind}_failed")
            totals.append((total or 0) - (failed or 0 if left_out else 0) or None)
        return totals[0], totals[1]


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(place, value, "a number")
    return float(value)


def _wrong(place: str, value: Any, kind: str) -> DatasetInvalid:
    shown = visible(repr(value))
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    return DatasetInvalid(
        f"{place} is {shown}, not {kind}: the run file was changed or is no run; evaluate again"
    )
