"""Templates: embeddings that know which model made them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from lineament.core.arrays import frozen
from lineament.core.errors import TemplateInvalid, TemplateMismatch


@dataclass(frozen=True, slots=True)
class ModelId:
    """Which model made a template: equal, or not comparable.

    Attributes:
        name: for people, for example `opencv-zoo/sface`.
        digest: hex SHA-256 over weights, preprocessing, alignment, views and numeric precision.
    """

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.digest[:12]}"


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One face as a point on the unit sphere.

    Attributes:
        vector: float32 (d,), length 1.
        norm: length of the raw network output before it was scaled to 1.
        model: who made it.
    """

    vector: Float32[np.ndarray, "d"]
    norm: float
    model: ModelId

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", frozen(self.vector, np.float32, (None,), "vector"))

    def similarity(self, other: "Template") -> float:
        """Cosine of the angle between two templates, −1..1; larger is more alike.

        Raises:
            TemplateMismatch: the two come from different models.
        """
        require_same_model(self.model, other.model)
        a, b = self.vector.astype(np.float64), other.vector.astype(np.float64)
        # float32 vectors are of unit length to 1e-7 only; divided out like this, a template and itself give
        # exactly 1.
        return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))

    def __repr__(self) -> str:
        # A template is biometric data: a log line or a traceback must not carry it.
        return f"Template(d={self.vector.shape[0]}, norm={self.norm:.3f}, model={self.model})"


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Templates of n faces, all by one model.

    Attributes:
        vectors: float32 (n, d), rows of length 1.
        norms: float32 (n,), lengths of the raw outputs.
        model: who made them.

    Raises:
        TemplateInvalid: a row is not finite or not of unit length.
    """

    vectors: Float32[np.ndarray, "n d"]
    norms: Float32[np.ndarray, "n"]
    model: ModelId

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", frozen(self.vectors, np.float32, (None, None), "vectors"))
        object.__setattr__(self, "norms", frozen(self.norms, np.float32, (len(self.vectors),), "norms"))
        lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=1)
        # `not (… < …)` is true for NaN as well.
        bad = np.flatnonzero(~(np.abs(lengths - 1.0) < 1e-4))
        if bad.size:
            raise TemplateInvalid(
                f"row {bad[0]} is not a unit vector (length {lengths[bad[0]]:.6g}): "
                "make templates with Templates.from_raw, which scales and checks them"
            )

    @classmethod
    def from_raw(cls, raw: np.ndarray, model: ModelId) -> "Templates":
        """Scale raw outputs (n, d) to unit length and keep their norms.

        Raises:
            TemplateInvalid: a row is not finite, or is zero.
        """
        raw64 = np.asarray(raw, dtype=np.float64)
        if raw64.ndim != 2:
            raise TemplateInvalid(f"raw embeddings must have shape (n, d), not {raw64.shape}")
        norms = np.linalg.norm(raw64, axis=1)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 1e-12)))
        if bad.size:
            raise TemplateInvalid(
                f"embedding {bad[0]} is {'zero' if norms[bad[0]] == 0 else 'not finite'}: the model cannot "
                "use this crop; check the pack with `lineament models verify`"
            )
        return cls((raw64 / norms[:, None]).astype(np.float32), norms.astype(np.float32), model)

    def similarity(self, other: "Templates") -> Float32[np.ndarray, "n m"]:
        """Cosine between every row here and every row there, (n, m), −1..1.

        Raises:
            TemplateMismatch: the two sets come from different models.
        """
        require_same_model(self.model, other.model)
        return np.clip(self.vectors @ other.vectors.T, -1.0, 1.0)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int) -> Template:
        return Template(self.vectors[index], float(self.norms[index]), self.model)

    def __iter__(self) -> Iterator[Template]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: np.ndarray) -> "Templates":
        """The chosen rows, by index or mask, in that order."""
        return Templates(self.vectors[rows], self.norms[rows], self.model)

    def __repr__(self) -> str:
        return f"Templates(n={len(self)}, d={self.vectors.shape[1]}, model={self.model})"


def require_same_model(a: ModelId, b: ModelId) -> None:
    """Refuse to compare templates of two models.

    Raises:
        TemplateMismatch: the digests differ.
    """
    if a.digest != b.digest:
        raise TemplateMismatch(
            f"templates of two models cannot be compared ({a} and {b}): embed both pictures with one of them"
        )
