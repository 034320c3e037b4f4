"""Pictures by name, for trying things out."""

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import ImageNotFound, InvalidArgument
from lineament.vision.decode import read_image

_ENDINGS = (".jpg", ".png", ".jpeg")


def get_image(name: str, to_rgb: bool = False, use_cache: bool = True) -> UInt8[np.ndarray, "h w 3"]:
    """A sample picture.

    Args:
        name: `astronaut` (NASA's portrait of Eileen Collins, from scikit-image), or a picture that an
            installed insightface wheel carries: `t1` (a group), `Tom_Hanks_54745`. This package holds no
            photographs of its own. insightface is looked at, not imported.
        to_rgb: red-green-blue instead of blue-green-red.
        use_cache: accepted and ignored: every call gives an array of its own, so nobody can draw into
            somebody else's picture.

    Raises:
        ImageNotFound: no such picture; the message lists where it was looked for.
        InvalidArgument: `name` is a path.
    """
    if not name or Path(name).name != name:
        raise InvalidArgument(f"{name!r} is not the name of a sample picture: use read_image for a path")
    looked: list[str] = []
    pixels = _from_scikit_image(looked) if name == "astronaut" else None
    if pixels is None:
        pixels = _from_insightface(name, looked)
    if pixels is None:
        raise ImageNotFound(
            f"there is no sample picture {name!r}; looked in: {'; '.join(looked)}. 'astronaut' comes with "
            "pip install \"lineament[samples]\", 't1' and 'Tom_Hanks_54745' with pip install insightface"
        )
    return pixels.copy() if to_rgb else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


def _from_scikit_image(looked: list[str]) -> np.ndarray | None:
    if importlib.util.find_spec("skimage") is None:
        looked.append("scikit-image (not installed)")
        return None
    import skimage.data

    data: Any = skimage.data
    return np.ascontiguousarray(data.astronaut())


def _from_insightface(name: str, looked: list[str]) -> np.ndarray | None:
    spec = importlib.util.find_spec("insightface")
    if spec is None or spec.origin is None:
        looked.append("insightface (not installed)")
        return None
    folder = Path(spec.origin).parent / "data" / "images"
    looked.append(str(folder))
    for ending in _ENDINGS:
        path = folder / f"{name}{ending}"
        if path.is_file():
            return read_image(path).pixels
    return None
