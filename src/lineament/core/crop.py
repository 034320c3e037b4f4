"""Aligned faces, ready for an embedder."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from lineament.core.arrays import frozen


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """n faces warped to a template.

    Attributes:
        pixels: uint8 (n, size, size, 3), red-green-blue.
        motions: float64 (n, 2, 3): picture → crop similarity transforms, in pixels; invertible.
    """

    pixels: UInt8[np.ndarray, "n s s 3"]
    motions: Float64[np.ndarray, "n 2 3"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", frozen(self.pixels, np.uint8, (None, None, None, 3), "pixels"))
        object.__setattr__(
            self, "motions", frozen(self.motions, np.float64, (len(self.pixels), 2, 3), "motions")
        )

    def __repr__(self) -> str:
        # Pictures of faces do not belong in a log line or a traceback.
        return f"Crops(n={len(self)}, size={self.pixels.shape[1]})"

    def __len__(self) -> int:
        return len(self.pixels)
