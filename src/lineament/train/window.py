"""Sums since the last logged step; in checkpoints too, so that a stop leaves no mark in the curve."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_SUMS = ("loss", "right", "own", "rows", "steps", "seconds")
_PREFIX = "window_"


@dataclass(slots=True)
class Window:
    """What the steps since the last logged one add up to.

    Attributes:
        loss: of the steps.
        right: rows with the right class; NaN where there are no classes.
        own: cosines with the own class, or with the teacher; NaN where there is neither.
        rows: that they are of.
        steps: that were made and not skipped.
        seconds: that they took, without validating and saving.
        began: when time was last taken.
    """

    loss: float = 0.0
    right: float = 0.0
    own: float = 0.0
    rows: float = 0.0
    steps: float = 0.0
    seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def add(self, sums: Sequence[float]) -> None:
        """One step: loss, right, own, rows."""
        loss, right, own, rows = sums
        self.loss, self.right = self.loss + loss, self.right + right
        self.own, self.rows, self.steps = self.own + own, self.rows + rows, self.steps + 1

    def pause(self) -> None:
        """Something else than steps begins."""
        self.seconds += time.perf_counter() - self.began

    def resume(self) -> None:
        """Steps begin again."""
        self.began = time.perf_counter()

    def counters(self) -> dict[str, float]:
        """For a checkpoint."""
        sums = {name: getattr(self, name) for name in _SUMS}
        return {_PREFIX + name: value for name, value in sums.items() if math.isfinite(value)}

    @classmethod
    def of(cls, counters: Mapping[str, float]) -> "Window":
        """As a checkpoint left it; JSON has no NaN, so what is absent was none."""
        if _PREFIX + "steps" not in counters:
            return cls()
        return cls(**{name: float(counters.get(_PREFIX + name, math.nan)) for name in _SUMS})
