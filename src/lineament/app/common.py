"""`Face`: a dictionary whose items are attributes as well."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

KNOWN: Final = frozenset(
    {
        "bbox",
        "kps",
        "det_score",
        "embedding",
        "landmark_2d_106",
        "landmark_3d_68",
        "pose",
        "gender",
        "age",
        "liveness",
        "verification_score",
        "angle",
        # of the dictionary that a liveness check leaves in `liveness`
        "status",
        "is_live",
        "live_score",
        "reason",
    }
)
"""Names that are None, not an error, while nothing is stored under them."""

COMPUTED: Final = ("normed_embedding", "embedding_norm", "sex")
"""Names that are calculated from others and cannot be stored."""


class Face(dict[str, Any]):
    """One face. `face.bbox` and `face["bbox"]` are the same thing, whichever way it was stored or removed.

    Items that `FaceAnalysis.get` stores:

    * `bbox` float32 (4,): x1 y1 x2 y2 in pixels of the picture; may reach outside it.
    * `kps` float32 (5, 2): left eye, right eye, nose, left and right mouth corner as seen in the picture.
    * `det_score` float32: the detector's confidence, 0..1.
    * `embedding` float32 (d,): the network's raw output, not of unit length; None when the five points
      determine no alignment.
    * `landmark_2d_106` (106, 2), `landmark_3d_68` (68, 3) pixels; `pose` pitch, yaw, roll in degrees.
    * `gender` 1 male, 0 female; `age` in years: guesses by appearance.
    * `angle`: degrees clockwise (0, 90, 180, 270) by which the picture was turned to find the face.

    A name in `KNOWN` reads as None while it is not there; any other name is an AttributeError.

    Args:
        d: items to begin with; copied, never changed.
        **kwargs: more items.
    """

    __slots__ = ()

    def __init__(self, d: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.update(() if d is None else d, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # Only called for names that are neither methods nor properties.
        if name in self:
            return self[name]
        if name in KNOWN:
            return None
        near = difflib.get_close_matches(name, [*KNOWN, *COMPUTED, *self], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"a face has no {name!r}{hint}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in COMPUTED:
            raise AttributeError(f"{name} is calculated and cannot be set", name=name, obj=self)
        if hasattr(type(self), name):
            raise AttributeError(
                f"{name!r} is a method of Face: store it as face[{name!r}]", name=name, obj=self
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"there is no {name!r} to delete", name=name, obj=self)
        del self[name]

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _nested(value))

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *KNOWN, *(key for key in self if key.isidentifier())})

    def __repr__(self) -> str:
        # An embedding is biometric data: a log line or a traceback must not carry it.
        shown = [f"{key}={_shown(key, value)}" for key, value in self.items()]
        return f"Face({', '.join(shown)})"

    def __or__(self, other: Any) -> "Face":
        result = self.copy()
        result.update(other)
        return result

    def __ior__(self, other: Any) -> "Face":
        self.update(other)
        return self

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Store items, as `dict.update` does."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The item, stored first if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> "Face":
        """A `Face` with the same values."""
        return Face(self)

    @property
    def embedding_norm(self) -> Any:
        """Length of the raw embedding, or None without one."""
        vector = self.embedding
        return None if vector is None else np.linalg.norm(vector)

    @property
    def normed_embedding(self) -> Any:
        """The embedding scaled to length 1; None without one, and for one that has no direction."""
        vector, length = self.embedding, self.embedding_norm
        if vector is None or not np.isfinite(length) or length == 0:
            return None
        return vector / length

    @property
    def sex(self) -> str | None:
        """`M` or `F`, as `gender` says; None without it."""
        gender = self.gender
        if gender is None:
            return None
        return "M" if gender == 1 else "F"

    def to_dict(self, *, embedding: bool = False) -> dict[str, Any]:
        """Plain numbers, strings and lists, ready for `json.dumps`.

        Args:
            embedding: also the embedding, which is biometric data and stays behind unless asked for.
        """
        return {key: _plain(value) for key, value in self.items() if embedding or key != "embedding"}


def _nested(value: Any) -> Any:
    """Dictionaries inside become faces too, so that `face.liveness.is_live` reads."""
    if isinstance(value, dict) and not isinstance(value, Face):
        return Face(value)
    if isinstance(value, list | tuple) and any(type(item) is dict for item in value):
        return [_nested(item) for item in value]
    return value


def _shown(key: str, value: Any) -> str:
    if isinstance(value, np.ndarray):
        if key == "bbox":
            return str(value.round(1).tolist())
        return f"<{'×'.join(map(str, value.shape))} {value.dtype}>"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Face):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
