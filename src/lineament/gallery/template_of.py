"""One template for a subject with several samples, which a bad sample cannot pull away."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

TOLERANCE = 3.0
"""Robust standard deviations (1.4826 × median absolute deviation) under the median at which a sample is
left out."""

FEWEST = 4
"""With fewer samples nobody can say which of them is the odd one."""

SLACK = 0.05
"""Cosine by which a sample may always lie under the median: five nearly equal pictures have a deviation
near 0."""


@dataclass(frozen=True, slots=True, eq=False)
class SubjectTemplate:
    """A subject's own template.

    Attributes:
        vector: float32 (d,), unit length: the direction of the sum of the samples that were kept.
        kept: (n,) which samples.
    """

    vector: Float32[np.ndarray, "d"]
    kept: Bool[np.ndarray, "n"]


def subject_template(vectors: Float32[np.ndarray, "n d"]) -> SubjectTemplate:
    """Sum of the samples without outliers, scaled to unit length.

    Each sample's likeness to the others is its mean cosine with them, which a single foreign face has low
    for itself and hardly lowers for the rest. Samples far under the median likeness are left out.

    Args:
        vectors: unit rows, at least one.
    """
    x = vectors.astype(np.float64)
    n = len(x)
    kept = np.ones(n, bool)
    if n >= FEWEST:
        others = (x @ x.sum(axis=0) - 1.0) / (n - 1)
        median = float(np.median(others))
        spread = 1.4826 * float(np.median(np.abs(others - median)))
        kept = others >= median - max(TOLERANCE * spread, SLACK)
    total = x[kept].sum(axis=0)
    length = float(np.linalg.norm(total))
    # Samples that cancel out have no direction: the first one stands for them.
    vector = x[0] if length < 1e-6 else total / length
    return SubjectTemplate(vector.astype(np.float32), kept)
