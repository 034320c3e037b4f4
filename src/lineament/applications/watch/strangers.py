"""Strangers who were told of already: a track that breaks must not make one stranger two.

Their templates are kept in memory for the length of the cool-down, and nowhere else.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

Met = tuple[float, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """Who was told of: moments in seconds, and unit templates."""

    met: tuple[Met, ...] = field(default=())

    def __repr__(self) -> str:
        # Templates do not belong in a log line or a traceback.
        return f"Strangers(n={len(self.met)})"

    def knows(self, template: Float32[np.ndarray, "d"], alike: float) -> bool:
        """Whether a template is as like one of theirs as `alike`, cosine."""
        return any(float(template @ other) >= alike for _, other in self.met)

    def since(self, moment: float) -> "Strangers":
        """Those who were told of after a moment."""
        return Strangers(tuple(m for m in self.met if m[0] > moment))

    def and_one(self, moment: float, template: Float32[np.ndarray, "d"]) -> "Strangers":
        """With one more."""
        return Strangers((*self.met, (moment, template)))
