"""Templates of a crop and of its mirror image, for any embedder.

Published evaluations add the two raw outputs and then scale to unit length, so that the view with the longer
output counts more (`sum_raw`, arcface_torch's `verification.py`); adding unit vectors gives both the same
weight (`sum_unit`). The two differ: outputs (3, 0) and (0, 1) give directions 26.6° apart.
"""

import hashlib
from typing import Literal

import numpy as np

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument
from lineament.core.ports import Embedder
from lineament.core.template import ModelId, Templates

MirroredViews = Literal["none", "sum_raw", "sum_unit"]
MIRRORED_VIEWS: tuple[MirroredViews, ...] = ("none", "sum_raw", "sum_unit")


class Mirrored:
    """An embedder that also looks at the mirror image of every crop.

    Args:
        embedder: looks at one view.
        views: how the two raw outputs are put together: `sum_raw` or `sum_unit`.

    Raises:
        InvalidArgument: other views.
    """

    def __init__(self, embedder: Embedder, views: MirroredViews) -> None:
        if views not in ("sum_raw", "sum_unit"):
            raise InvalidArgument(f"two views are put together by sum_raw or sum_unit, not {views!r}")
        self.embedder = embedder
        self.views: MirroredViews = views
        inner = embedder.model
        digest = hashlib.sha256(f"{inner.digest} mirrored {views}".encode()).hexdigest()
        self._model = ModelId(f"{inner.name}+mirror-{views.removeprefix('sum_')}", digest)

    @property
    def model(self) -> ModelId:
        """Another model than the one with a single view."""
        return self._model

    @property
    def crop_size(self) -> int:
        """Side of the crops it takes, pixels."""
        return self.embedder.crop_size

    def embed(self, crops: Crops) -> Templates:
        """One template per crop, in order, of both views."""
        first = self.embedder.embed(crops)
        second = self.embedder.embed(Crops(crops.pixels[:, :, ::-1], crops.motions))
        return Templates.from_raw(together(_raw(first), _raw(second), self.views), self._model)


def together(first: np.ndarray, second: np.ndarray, views: MirroredViews) -> np.ndarray:
    """Raw outputs (n, d) of both views as one, float64, not scaled to unit length.

    Raises:
        InvalidArgument: views that put nothing together.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    if views == "sum_raw":
        return a + b
    if views == "sum_unit":
        return _unit(a) + _unit(b)
    raise InvalidArgument(f"two views are put together by sum_raw or sum_unit, not {views!r}")


def _raw(templates: Templates) -> np.ndarray:
    return templates.vectors.astype(np.float64) * templates.norms.astype(np.float64)[:, None]


def _unit(raw: np.ndarray) -> np.ndarray:
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)
