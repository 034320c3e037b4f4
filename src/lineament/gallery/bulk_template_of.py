"""Subject templates of many subjects at once, by the rule of `lineament.gallery.template_of`."""

import numpy as np
from jaxtyping import Float32, Int64

from lineament.gallery.template_of import FEWEST, SLACK, TOLERANCE


def subject_templates(
    vectors: Float32[np.ndarray, "n d"], whose: Int64[np.ndarray, "n"], count: int
) -> Float32[np.ndarray, "s d"]:
    """`lineament.gallery.template_of.subject_template` of many subjects at once.

    Args:
        vectors: unit rows.
        whose: subject of each row, 0 to `count` − 1; each occurs.
        count: number of subjects.
    """
    order = np.argsort(whose, kind="stable")
    sizes = np.bincount(whose, minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    made = np.empty((count, vectors.shape[1]), np.float32)
    for size in np.unique(sizes).tolist():
        which = np.flatnonzero(sizes == size)
        x_SND = vectors[order[starts[which][:, None] + np.arange(size)]].astype(np.float64)
        made[which] = _directions(x_SND)
    return made


def _directions(x_SND: np.ndarray) -> np.ndarray:
    """(s, d) directions of s subjects with n samples each; the rule stands in `template_of`."""
    size = x_SND.shape[1]
    total_SD = x_SND.sum(axis=1)
    if size >= FEWEST:
        others_SN = (np.einsum("snd,sd->sn", x_SND, total_SD) - 1.0) / (size - 1)
        median_S1 = np.median(others_SN, axis=1, keepdims=True)
        spread_S1 = 1.4826 * np.median(np.abs(others_SN - median_S1), axis=1, keepdims=True)
        kept_SN = others_SN >= median_S1 - np.maximum(TOLERANCE * spread_S1, SLACK)
        total_SD = np.einsum("snd,sn->sd", x_SND, kept_SN.astype(np.float64))
    length_S1 = np.linalg.norm(total_SD, axis=1, keepdims=True)
    # Samples that cancel out have no direction: the first one stands for them.
    none_S1 = length_S1 < 1e-6
    return np.where(none_S1, x_SND[:, 0], total_SD / np.where(none_S1, 1.0, length_S1))
