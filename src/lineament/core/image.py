"""A decoded picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from lineament.core.arrays import frozen


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An upright RGB picture, perhaps decoded at a reduced scale.

    Orientation marks (EXIF 1–8) have been applied. All coordinates that leave this package are pixels of
    the *full* upright picture; `scale` says how `pixels` relate to it.

    Attributes:
        pixels: uint8 (height, width, 3), red-green-blue, read-only.
        source: where it came from: a path, `<bytes>`, `<array>`.
        scale: columns of `pixels` per column of the full picture; 1.0 unless decoded smaller.
        full_size: (height, width) of the full upright picture, pixels.
        orientation: the EXIF mark that was applied, 1–8; 1 means none.
        notes: what was done to make it RGB, for example "first frame of 3".
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    source: str = "<array>"
    scale: float = 1.0
    full_size: tuple[int, int] = (0, 0)
    orientation: int = 1
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", frozen(self.pixels, np.uint8, (None, None, 3), "pixels"))
        if self.full_size == (0, 0):
            object.__setattr__(self, "full_size", (self.pixels.shape[0], self.pixels.shape[1]))

    def __repr__(self) -> str:
        # A picture does not belong in a log line or a traceback.
        return f"Image({self.width}×{self.height} from {self.source}, scale={self.scale:.4g})"

    @property
    def height(self) -> int:
        """Rows of the full upright picture."""
        return self.full_size[0]

    @property
    def width(self) -> int:
        """Columns of the full upright picture."""
        return self.full_size[1]
