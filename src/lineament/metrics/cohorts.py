"""Normalisation against a cohort: how a similarity stands out among those with strangers.

Some references are alike to everyone. Each similarity is therefore measured in standard deviations above what
the same reference (Z), the same probe (T) or both (S, AS) give with a cohort of other people.

Sources: R. Auckenthaler et al., *Score normalization for text-independent speaker verification systems*,
Digital Signal Processing 10, 2000 (Z, T); P. Matějka et al., *Analysis of score normalization in multilingual
speaker recognition*, Interspeech 2017 (S; adaptive S, type 1). Standard deviations take `ddof` 0 by default.

Shapes: the last axis of a cohort array is the cohort; what comes before it is broadcast to `similarity`.
For listed comparisons (n,) with (n, c). For a search (p, g) with references (g, c) and probes (p, 1, c).
"""

import numpy as np

from lineament.core.errors import InvalidArgument, ScoresInvalid

FLOOR = 1e-6
"""Smallest standard deviation that is divided by: a cohort of equal similarities says nothing."""


def z_norm(
    similarity: np.ndarray | float, reference_cohort: np.ndarray, ddof: int = 0, floor: float = FLOOR
) -> np.ndarray:
    """(s − μ) / σ with mean and deviation of the reference's similarities with the cohort.

    The cohort must share no subject with the comparisons: that is the caller's duty, as no subject is known
    here. With a mate among the cohort its own similarity would hide the match.

    Args:
        similarity: of comparisons, of any shape.
        reference_cohort: (..., c) similarities of each comparison's reference with the cohort.
        ddof: 0 divides the variance by c, 1 by c − 1.
        floor: smallest σ; smaller ones are raised to it.

    Returns:
        Values in the shape of `similarity`, float64, in standard deviations.

    Raises:
        ScoresInvalid: NaN or infinite cohort, fewer than ddof + 1 members, or shapes that do not fit.
        InvalidArgument: `ddof` is not 0 or 1, or `floor` not positive.
    """
    return _normalised(similarity, reference_cohort, ddof, floor)


def t_norm(
    similarity: np.ndarray | float, probe_cohort: np.ndarray, ddof: int = 0, floor: float = FLOOR
) -> np.ndarray:
    """(s − μ) / σ with mean and deviation of the probe's similarities with the cohort.

    The same arithmetic as `z_norm`, on the other side. The cohort must share no subject with the comparisons;
    that is the caller's duty.

    Raises:
        ScoresInvalid, InvalidArgument: as `z_norm`.
    """
    return _normalised(similarity, probe_cohort, ddof, floor)


def s_norm(
    similarity: np.ndarray | float,
    reference_cohort: np.ndarray,
    probe_cohort: np.ndarray,
    ddof: int = 0,
    floor: float = FLOOR,
) -> np.ndarray:
    """Mean of Z and T, the same whichever side is called the probe.

    The cohort must share no subject with the comparisons; that is the caller's duty.

    Raises:
        ScoresInvalid, InvalidArgument: as `z_norm`.
    """
    z = z_norm(similarity, reference_cohort, ddof, floor)
    return np.asarray((z + t_norm(similarity, probe_cohort, ddof, floor)) / 2)


def as_norm(
    similarity: np.ndarray | float,
    reference_cohort: np.ndarray,
    probe_cohort: np.ndarray,
    top: int,
    ddof: int = 0,
    floor: float = FLOOR,
) -> np.ndarray:
    """S-norm over each side's own nearest members of the cohort (adaptive S-norm, type 1).

    Only the `top` largest similarities of each row count: those who could be taken for this person. The
    cohort must share no subject with the comparisons, or a mate would be the first of them; that is the
    caller's duty.

    Args:
        similarity: of comparisons, of any shape.
        reference_cohort: (..., c) similarities of each comparison's reference with the cohort.
        probe_cohort: (..., c) of its probe; another number of members is possible.
        top: how many of each side, 1..c.
        ddof: 0 divides the variance by `top`, 1 by `top` − 1.
        floor: smallest standard deviation.

    Raises:
        ScoresInvalid: as `z_norm`, or a cohort smaller than `top`.
        InvalidArgument: as `z_norm`, or `top` below 1.
    """
    return s_norm(similarity, _largest(reference_cohort, top), _largest(probe_cohort, top), ddof, floor)


def _largest(cohort: np.ndarray, top: int) -> np.ndarray:
    """(..., top) largest values of the last axis, in no order."""
    cohort = np.asarray(cohort, np.float64)
    if top < 1:
        raise InvalidArgument(f"at least one member of the cohort must count, not {top}")
    if not cohort.ndim or cohort.shape[-1] < top:
        raise ScoresInvalid(f"a cohort of shape {cohort.shape} has no {top} members to choose")
    # NaN would be sorted among the largest, and −inf, a failed member, be dropped unseen.
    if not np.isfinite(cohort).all():
        raise ScoresInvalid("similarities with the cohort must be finite: leave failed members out")
    return np.partition(cohort, cohort.shape[-1] - top, axis=-1)[..., -top:]


def _normalised(similarity: np.ndarray | float, cohort: np.ndarray, ddof: int, floor: float) -> np.ndarray:
    similarity, cohort = np.asarray(similarity, np.float64), np.asarray(cohort, np.float64)
    if ddof not in (0, 1):
        raise InvalidArgument(f"ddof is 0 or 1, not {ddof}")
    if not floor > 0:
        raise InvalidArgument(f"a floor of the standard deviation is positive, not {floor}")
    if not cohort.ndim or cohort.shape[-1] <= ddof:
        raise ScoresInvalid(f"a cohort of shape {cohort.shape} is too small: give {ddof + 1} members or more")
    if not np.isfinite(cohort).all():
        raise ScoresInvalid("similarities with the cohort must be finite: leave failed members out")
    try:
        fits = np.broadcast_shapes(similarity.shape, cohort.shape[:-1]) == similarity.shape
    except ValueError:
        fits = False
    if not fits:
        raise ScoresInvalid(
            f"cohorts of {cohort.shape[:-1]} sides for similarities of {similarity.shape}: for a matrix of "
            "probes by references give (g, c) for references and (p, 1, c) for probes"
        )
    deviation = np.maximum(cohort.std(axis=-1, ddof=ddof), floor)
    return np.asarray((similarity - cohort.mean(axis=-1)) / deviation)
